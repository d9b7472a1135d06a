"""What scores and tasks are called, and what was published of them."""

import dataclasses
import re
from collections.abc import Sequence

from models import sizes


@dataclasses.dataclass(frozen=True)
class Metric:
  """How a score is written."""

  title: str
  unit: str  # '' of a share or a ratio
  better: str  # 'lower', 'higher', or '' where that is not known

  @property
  def label(self) -> str:
    """Title and unit."""
    return f'{self.title}, {self.unit}' if self.unit else self.title

  @property
  def arrow(self) -> str:
    """Which way is better."""
    return {'lower': '\u2193', 'higher': '\u2191', '': ''}[self.better]

  def wins(self, differences: Sequence[float]) -> int:
    """How many are differences for the better."""
    sign = {'lower': -1, 'higher': 1, '': 0}[self.better]
    return sum(sign * difference > 0 for difference in differences)


# A '#' stands for a number of the score's name.
_METRICS = {
  'abs_rel': Metric('AbsRel', '', 'lower'),
  'rmse': Metric('RMSE', 'm', 'lower'),
  'log_rmse': Metric('log RMSE', '', 'lower'),
  'delta1': Metric('delta < 1.25', '', 'higher'),
  'delta2': Metric('delta < 1.25^2', '', 'higher'),
  'delta3': Metric('delta < 1.25^3', '', 'higher'),
  'end_point_error': Metric('End-point error', 'm or scene units', 'lower'),
  'rotation_angle': Metric('Rotation error', 'degrees', 'lower'),
  'translation_angle': Metric(
    'Translation direction error', 'degrees', 'lower'
  ),
  'rra_#': Metric('Rotations within # degrees', '', 'higher'),
  'rta_#': Metric('Translation directions within # degrees', '', 'higher'),
  'auc_#': Metric('Pose AUC up to # degrees', '', 'higher'),
  'average_jaccard': Metric('Average Jaccard', '', 'higher'),
  'position_accuracy': Metric('Position accuracy', '', 'higher'),
  'occlusion_accuracy': Metric('Occlusion accuracy', '', 'higher'),
  'jaccard_#': Metric('Jaccard within # px of 256', '', 'higher'),
  'position_#': Metric('Position within # px of 256', '', 'higher'),
  'iou': Metric('Mean IoU', '', 'higher'),
  'video_iou': Metric('Mean IoU, clips weigh the same', '', 'higher'),
  'track_iou': Metric('Mean IoU, by object, then by clip', '', 'higher'),
  'top1': Metric('Top-1 accuracy', '', 'higher'),
  'top5': Metric('Top-5 accuracy', '', 'higher'),
}
# In the order of the published figure.
TASKS = {
  'classify': 'Action',
  'depth': 'Depth',
  'pose': 'Camera pose',
  'points': 'Point tracks',
  'boxes': 'Object boxes',
  'points3d': 'Point tracks in metres',
}
KINDS = {
  'frozen': 'pretrained, frozen',
  'fine-tuned': 'pretrained, fine-tuned',
  'random': 'random init, frozen',
  'scratch': 'random init, fine-tuned',
  'trivial': 'trivial predictor',
}
# What the trivial predictor of each task says.
TRIVIAL = {
  'depth': 'the mean depth of the training clips, everywhere',
  'pose': 'a camera that does not move',
  'points': 'points that stay where they are asked for, always visible',
  'boxes': 'boxes that stay where they are asked for',
  'points3d': 'points that stay on their ray, at the mean depth of training',
  'classify': 'the most frequent class of the training clips',
}


def metric(name: str) -> Metric:
  """How a score is written; one of a new task as it is called in code."""
  if name in _METRICS:
    return _METRICS[name]
  number = re.search(r'\d+$', name)
  pattern = re.sub(r'\d+$', '#', name)
  if not number or pattern not in _METRICS:
    return Metric(name, '', '')
  found = _METRICS[pattern]
  return Metric(found.title.replace('#', number[0]), found.unit, found.better)


def task(name: str) -> str:
  """How a task is written, as a heading."""
  return TASKS[name] if name in TASKS else name.capitalize()


@dataclasses.dataclass(frozen=True)
class Published:
  """Scores of 4DS on a benchmark, by the names of SIZES."""

  benchmark: str
  metric: str
  frozen: tuple[float, ...]
  finetuned: tuple[float, ...]


SIZES = ('S', 'B', 'L', 'H', 'G', 'e', 'j')
# Read off the scaling figure of arXiv 2412.15212 (its repository's copy): about
# +-1 in the last digit.
PUBLISHED = {
  'classify': Published(
    'SSv2',
    'top1',
    (0.408, 0.496, 0.578, 0.604, 0.631, 0.645, 0.678),
    (0.403, 0.524, 0.618, 0.649, 0.674, 0.689, 0.729),
  ),
  'depth': Published(
    'ScanNet',
    'abs_rel',
    (0.224, 0.162, 0.124, 0.115, 0.102, 0.094, 0.084),
    (0.204, 0.151, 0.114, 0.098, 0.083, 0.073, 0.060),
  ),
  'pose': Published(
    'RealEstate10K',
    'end_point_error',
    (0.734, 0.509, 0.326, 0.287, 0.275, 0.265, 0.242),
    (0.724, 0.478, 0.368, 0.356, 0.291, 0.277, 0.253),
  ),
  'points': Published(
    'Perception Test',
    'average_jaccard',
    (0.759, 0.789, 0.815, 0.818, 0.827, 0.824, 0.834),
    (0.752, 0.795, 0.811, 0.819, 0.830, 0.829, 0.842),
  ),
  'boxes': Published(
    'Waymo Open',
    'iou',
    (0.696, 0.727, 0.760, 0.761, 0.774, 0.780, 0.783),
    (0.691, 0.718, 0.749, 0.757, 0.772, 0.775, 0.780),
  ),
}


def parameters() -> list[int]:
  """Of the backbones of SIZES."""
  return [sizes.SIZES[name].parameters for name in SIZES]
