"""Waymo Open Dataset: cars and people before the front camera, with boxes.

PATH/training and PATH/validation hold segments of either release
(`data/formats/waymo.py`; Sun et al., arXiv 1912.04838). Clips are chosen as for
the box readout of 4DS (arXiv 2412.15212), as far as that is known (rebuilt in
arXiv 2512.01342, appendix A.4).
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from base.console import progress, say
from data import pictures, remote, require, splits, transforms
from data.formats import waymo
from data.remote import Path
from data.source import digest, pad_rows

KEYS = ('video', 'boxes', 'boxes_visible')


@dataclasses.dataclass(frozen=True)
class Rules:
  """Which objects and which clips count; see `make`."""

  objects: int
  min_area: float
  min_presence: float
  max_gap: int
  together: int

  def kept(self, visible: Bool[np.ndarray, 'n t']) -> Int[np.ndarray, 'o']:
    """Rows of the objects to follow; none if the clip is not to be used."""
    good = visible[:, 0] & (visible.mean(1) >= self.min_presence)
    good &= np.array(
      [_longest_gap(row) <= self.max_gap for row in visible], bool
    )
    rows = np.flatnonzero(good)
    if len(rows) > self.objects or visible[rows].all(0).sum() < self.together:
      return rows[:0]
    return rows


@dataclasses.dataclass(frozen=True)
class Waymo:
  """A `data.source.Source`; see `make`."""

  files: tuple[Path, ...]
  windows: Int[np.ndarray, 'n 2']  # file and first frame of each clip
  excluded: Mapping[str, int]  # left out, by reason
  rules: Rules
  keys: tuple[str, ...]
  frames: int
  height: int
  width: int
  step: int
  is_fixed = True

  @property
  def fingerprint(self) -> str:
    """Of the names of the files and the first frames of the clips."""
    return digest([file.name for file in self.files], self.windows)

  def __len__(self) -> int:
    """Number of clips."""
    return len(self.windows)

  def needs(self, index: int) -> tuple[Path, ...]:
    """The file of a segment."""
    return (self.files[int(self.windows[index, 0])],)

  def read(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One clip, with the keys asked for; nothing about it is random.

    Raises:
      BadRecord: the segment is damaged or gone.
    """
    file, start = self.windows[index].tolist()
    segment = waymo.load(self.files[file])
    numbers = start + self.step * np.arange(self.frames)
    boxes, visible = cut(
      segment.boxes[:, numbers],
      segment.present[:, numbers],
      self.width / self.height,
      self.rules.min_area,
    )
    rows = self.rules.kept(visible)
    record = {}
    record['boxes'], record['boxes_visible'] = pad_rows(
      boxes[rows], visible[rows], self.rules.objects
    )
    if 'video' in self.keys:
      record['video'] = self._video(segment.pictures(numbers.tolist()))
    return {key: record[key] for key in self.keys}

  def _video(self, coded: Sequence[bytes]) -> np.ndarray:
    size = self.height, self.width
    stored = waymo.HEIGHT, waymo.WIDTH
    reduce = pictures.reduction(stored, size)
    video = pictures.stack(
      [pictures.decode(each, reduce=reduce) for each in coded]
    )
    return pictures.resize(pictures.centred(video, *size), *size)


def make(
  split: str,
  *,
  path: str,
  keys: Sequence[str],
  frames: int = 16,
  height: int = 224,
  width: int = 224,
  step: int = 2,
  spacing: int = 3,
  objects: int = 25,
  min_area: int | float = 0.005,
  min_presence: int | float = 0.7,
  max_gap: int = 5,
  together: int = 10,
  train: str = 'training',
  validation: str = '',
  test: str = 'validation',
  validation_fraction: int | float = 0.05,
) -> Waymo:
  """Clips of the segments of a split: every record is one window of frames.

  Pictures are cut to the shape of the result, around the centre, and resized,
  as resizing 1280 x 1920 to 224 x 336 and cutting out 224 x 224; boxes are
  moved with them and clipped. In each frame a box that is then under
  `min_area` is invisible.

  An object is followed if it is visible in frame 0 and in `min_presence` of
  the frames, and never away for more than `max_gap`. A window is a record if
  it has 1 to `objects` of those, and `together` frames with all of them; it is
  the next one in its segment that is at least `spacing` (shorter) steps after
  the last. `excluded` counts the starts and the segments that gave none. That
  an object which does not qualify is left out, rather than its window, is our
  reading.

  All segments of the split are looked through when this is called.

  Args:
    split: 'train', 'validation' or 'test'.
    path: the folder.
    keys: of the record, among KEYS.
    frames: of a clip.
    height: pixels.
    width: pixels.
    step: between frames of a clip, of 10 in a second.
    spacing: least distance between the starts of two clips, in steps.
    objects: rows of boxes, and most objects of a clip.
    min_area: of a visible box, as a part of what is shown.
    min_presence: part of the frames in which an object must be visible.
    max_gap: most frames in a row without it.
    together: least frames with all objects.
    train: subfolder with this split.
    validation: as `train`; '' (ours): segments of `train`, by hash, that are
      then not trained on.
    test: as `train`; the published one has no boxes, so that by default test
      is the published validation.
    validation_fraction: of the segments of `train`, if there is no subfolder
      for validation.

  Raises:
    ValueError: a bad option, a damaged segment, or no clip.
  """
  require.one_of('waymo', splits.SPLITS, split=split)
  require.keys('waymo', keys, KEYS)
  require.at_least(
    1,
    'waymo',
    frames=frames,
    height=height,
    width=width,
    step=step,
    spacing=spacing,
    objects=objects,
    together=together,
  )
  if together > frames:
    raise ValueError(
      f'waymo: together={together} of frames={frames}: give at most frames'
    )
  folder = remote.path(
    path,
    splits.listed_in(split, train=train, validation=validation, test=test),
  )
  files = _segments(folder)
  files = splits.of_list(
    'waymo',
    split,
    files,
    [file.stem for file in files],
    validation=validation,
    fraction=validation_fraction,
  )
  rules = Rules(objects, min_area, min_presence, max_gap, together)
  windows, excluded = [], Counter()
  with progress(f'waymo: {split}', len(files), 'segment') as bar:
    for number, file in enumerate(files):
      starts, refused = _starts(
        waymo.load(file), rules, frames, step, spacing, width / height
      )
      windows += [(number, start) for start in starts]
      excluded[f'start without 1 to {objects} objects to follow'] += refused
      excluded['segment without a clip'] += not starts
      bar.update(1)
  if not windows:
    raise ValueError(
      f'waymo: none of the {len(files)} segments in {folder} has a clip: '
      f'{dict(excluded)}. Loosen min_area, min_presence, max_gap or together.'
    )
  return Waymo(
    files=tuple(files),
    windows=np.array(windows),
    excluded=dict(excluded),
    rules=rules,
    keys=tuple(keys),
    frames=frames,
    height=height,
    width=width,
    step=step,
  )


def cut(
  boxes: Float[np.ndarray, 'o t 4'],
  present: Bool[np.ndarray, 'o t'],
  aspect: float,
  min_area: float,
) -> tuple[Float[np.ndarray, 'o t 4'], Bool[np.ndarray, 'o t']]:
  """Boxes in [0, 1] of the largest centred part, and which are visible.

  Args:
    boxes: in pixels of the whole picture.
    present: which of them are labelled.
    aspect: width / height of the part.
    min_area: of a visible box, as a part of the part.
  """
  whole = waymo.HEIGHT, waymo.WIDTH
  part = transforms.centre_box(*whole, aspect)
  corner = np.float32([part.top, part.left, part.top, part.left])
  size = np.float32([part.height, part.width, part.height, part.width])
  moved = ((boxes - corner) / size).clip(0, 1)
  area = (moved[..., 2] - moved[..., 0]) * (moved[..., 3] - moved[..., 1])
  visible = present & (area >= min_area)
  return moved * visible[..., None], visible


def _segments(folder: Path) -> tuple[Path, ...]:
  files = sorted(folder.glob('camera_image/*.parquet'))
  first = sorted(folder.glob('*.tfrecord'))
  if files and first:
    say(
      f'waymo: {folder} has both releases: camera_image/*.parquet is read '
      f'({len(files)}), *.tfrecord is not ({len(first)})'
    )
  files = files or first
  if not files:
    raise ValueError(
      f'waymo: no segment in {folder}: expected camera_image/*.parquet and '
      'camera_box/*.parquet (release 2) or *.tfrecord (release 1)'
    )
  return tuple(files)


def _starts(
  segment: waymo.Segment,
  rules: Rules,
  frames: int,
  step: int,
  spacing: int,
  aspect: float,
) -> tuple[list[int], int]:
  """First frames of the clips of a segment, and how many were refused."""
  _, visible = cut(segment.boxes, segment.present, aspect, rules.min_area)
  slow = visible[:, ::step]
  starts, refused, start = [], 0, 0
  while start + frames <= slow.shape[1]:
    if len(rules.kept(slow[:, start : start + frames])):
      starts.append(start * step)
      start += spacing
    else:
      refused += 1
      start += 1
  return starts, refused


def _longest_gap(visible: Bool[np.ndarray, 't']) -> int:
  """Frames of the longest run in which it is not visible."""
  # As if it were seen before and after: gaps at the ends count too.
  seen = np.flatnonzero(np.concatenate([[True], visible, [True]]))
  return int(np.diff(seen).max()) - 1
