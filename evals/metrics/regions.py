"""Regions and contours of objects in video: J and F of DAVIS.

Perazzi et al., CVPR 2016; Pont-Tuset et al., arXiv 1704.00675. J is the
intersection of a predicted and a true mask over their union. F is the harmonic
mean of precision and recall of their contours, where a point of one is right
that is within 0.8% of the picture's diagonal of a point of the other.
"""

import math

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from evals.metrics.sums import Scores, Sums, means

_WITHIN = 0.008  # of the diagonal, as in the official code
_RIGHT = 0.5  # recall: the share of frames that are better, as there
_PARTS = 4  # decay: the first quarter of the frames less the last one, as there


def region(
  predicted: Bool[np.ndarray, 't h w'], true: Bool[np.ndarray, 't h w']
) -> Float[np.ndarray, 't']:
  """J of each frame; 1 where both masks are empty."""
  both = (predicted & true).sum((1, 2))
  either = (predicted | true).sum((1, 2))
  return np.where(either, both / np.maximum(either, 1), 1.0)


def contour(
  predicted: Bool[np.ndarray, 't h w'], true: Bool[np.ndarray, 't h w']
) -> Float[np.ndarray, 't']:
  """F of each frame; 1 where neither mask has a contour, 0 where one has."""
  height, width = true.shape[1:]
  radius = math.ceil(_WITHIN * math.hypot(height, width))
  offset = np.arange(-radius, radius + 1)
  disc = (offset[:, None] ** 2 + offset**2 <= radius**2).astype(np.uint8)
  found = []
  for one, other in zip(predicted, true):
    ours, theirs = outline(one), outline(other)
    if not ours.any() or not theirs.any():
      found.append(float(not ours.any() and not theirs.any()))
      continue
    near_theirs, near_ours = (
      cv2.dilate(each.astype(np.uint8), disc) > 0 for each in (theirs, ours)
    )
    precision = near_theirs[ours].mean()
    recall = near_ours[theirs].mean()
    total = precision + recall
    found.append(2 * precision * recall / total if total else 0.0)
  return np.asarray(found, np.float64)


def outline(mask: Bool[np.ndarray, 'h w']) -> Bool[np.ndarray, 'h w']:
  """Pixels that differ from the one to the right, below, or below that.

  One pixel wide, half a pixel up and left of the true contour, as in the
  official code (after D. Martin's for the Berkeley segmentation data set).
  """
  padded = np.pad(mask, ((0, 1), (0, 1)), mode='edge')
  here = padded[:-1, :-1]
  return (
    (here != padded[:-1, 1:])
    | (here != padded[1:, :-1])
    | (here != padded[1:, 1:])
  )


def region_sums(
  predicted: UInt8[np.ndarray, 't h w'],
  true: UInt8[np.ndarray, 't h w'],
  objects: Int[np.ndarray, 'o'],
) -> Sums:
  """Sums over the objects of a sequence.

  Args:
    predicted: the number of an object, or of none, at each pixel.
    true: the same. Official numbers are without the first and the last frame.
    objects: the numbers that count; at all others there is no object.

  Returns:
    count: of objects. For each the mean over frames of j and f, the share of
      frames that are better than a half (j_recall, f_recall), and by how much
      the first quarter is better than the last one (j_decay, f_decay).
  """
  names = [f'{x}{y}' for x in 'jf' for y in ('', '_recall', '_decay')]
  sums = {'count': float(len(objects)), **dict.fromkeys(names, 0.0)}
  for number in objects:
    masks = predicted == number, true == number
    for name, measure in (('j', region), ('f', contour)):
      values = measure(*masks)
      sums[name] += float(values.mean())
      sums[f'{name}_recall'] += float((values > _RIGHT).mean())
      sums[f'{name}_decay'] += _decay(values)
  return sums


def _decay(values: Float[np.ndarray, 't']) -> float:
  """By how much the first quarter is better than the last one."""
  # Quarters share the frames at their ends, as in the official code.
  ends = np.round(np.linspace(1, len(values), _PARTS + 1) + 1e-10).astype(int)
  ends -= 1
  first = values[ends[0] : ends[1] + 1]
  return float(first.mean() - values[ends[-2] : ends[-1] + 1].mean())


def region_scores(sums: Sums) -> Scores:
  """Means over all objects of a test set, whatever their sequences.

  Returns:
    j_and_f: the mean of j and f; and those of `region_sums`.
  """
  scores = means(sums)
  return {'j_and_f': (scores['j'] + scores['f']) / 2, **scores}
