"""Metrics as sums per clip, and what the sums say of a whole test set.

A metric is two pure functions: one turns predictions into a few sums for each
clip, on device; the other turns sums, added over any set of clips, into
scores. So clips may come in any batches and from any host, a padded row is
dropped before it is added, and an interval is a resampling of the sums.

Every metric has a sum `count`, of labels alone: a clip with a count of 0 has
no label that counts and adds nothing.
"""

from evals.metrics.boxes import box_scores, box_sums
from evals.metrics.classes import (
  class_scores,
  class_sums,
  join_videos,
  share_sums,
)
from evals.metrics.depth import depth_scores, depth_sums
from evals.metrics.intervals import WHAT as INTERVAL
from evals.metrics.intervals import bootstrap
from evals.metrics.pose import pose_scores, pose_sums
from evals.metrics.regions import region_scores, region_sums
from evals.metrics.sums import Scores, Sums, total
from evals.metrics.tracks import track_scores, track_sums
from evals.metrics.tracks3d import focal_length, track3d_sums

__all__ = [
  'INTERVAL',
  'Scores',
  'Sums',
  'bootstrap',
  'box_scores',
  'box_sums',
  'class_scores',
  'class_sums',
  'depth_scores',
  'depth_sums',
  'focal_length',
  'join_videos',
  'pose_scores',
  'pose_sums',
  'region_scores',
  'region_sums',
  'share_sums',
  'total',
  'track3d_sums',
  'track_scores',
  'track_sums',
]
