"""Our metrics against those of kauldron, over random inputs.

    pip install --no-deps --group oracle
    python -m pytest -m slow tests/evals/metrics/test_oracle.py

kauldron's pose metrics need visu3d, which does not run beside a current etils:
the little of it that they use is written here.
"""

import sys
import types
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from evals import metrics
from evals.metrics.pose import nearest_rotation

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('ignore')]


class Transform:
  """Of visu3d: rotation, then translation."""

  def __init__(self, turn, move):
    self.R, self.t = turn, move

  @classmethod
  def from_matrix(cls, matrix):
    return cls(matrix[..., :3, :3], matrix[..., :3, 3])

  @property
  def inv(self):
    back = jnp.swapaxes(self.R, -1, -2)
    return Transform(back, -jnp.einsum('...ij,...j->...i', back, self.t))

  def __matmul__(self, other):
    moved = jnp.einsum('...ij,...j->...i', self.R, other.t)
    return Transform(self.R @ other.R, moved + self.t)


def _angle(turn):
  trace = jnp.trace(turn, axis1=-2, axis2=-1)
  return jnp.arccos(jnp.clip((trace - 1) / 2, -1, 1))


@pytest.fixture(scope='module')
def oracle():
  """kauldron's modules of tracks, depth and pose."""
  stub = types.ModuleType('visu3d')
  stub.Transform = Transform
  stub.math = types.SimpleNamespace(rot_to_rad=_angle)
  sys.modules.setdefault('visu3d', stub)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    pytest.importorskip('kauldron')
    from kauldron.contrib.metrics import (
      depth_estimation,
      point_tracking,
      point_tracking_3d,
      pose,
    )
  return types.SimpleNamespace(
    depth=depth_estimation,
    tracks=point_tracking,
    tracks3d=point_tracking_3d,
    pose=pose,
  )


def _score(metric, **inputs):
  return float(metric.get_state(**inputs).compute())


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('mode', ['first', 'strided'])
def test_tracks(oracle, mode, seed):
  rng = np.random.default_rng(seed)
  b, q, t = 3, 7, 9
  true = rng.uniform(0, 1, (b, q, t, 2))
  noise = rng.normal(0, rng.uniform(0.001, 0.05, (b, q, 1, 1)), true.shape)
  seen, claimed = rng.random((2, b, q, t)) < [[[[0.7]]], [[[0.8]]]]
  valid = rng.random((b, q)) < 0.8
  valid[:, 0], seen[:, 0] = True, True
  # One clip without a visible point, of which kauldron's ratios are 0.
  seen[1], claimed[1] = False, seed % 2
  frame = rng.integers(0, t - 1, (b, q))
  predicted = jnp.asarray(true + noise, jnp.float32)
  true = jnp.asarray(true, jnp.float32)
  seen, claimed, valid, frame = map(jnp.asarray, (seen, claimed, valid, frame))
  sums = metrics.track_sums(
    *(predicted, claimed, true, seen),
    valid=valid,
    query_frame=frame,
    mode=mode,
    unseen='zero',
  )
  ours = metrics.track_scores({k: np.sum(v) for k, v in sums.items()})

  shared = {'query_frame': frame.astype(float), 'query_mask': valid * 1.0}
  places = {'pred_tracks': predicted, 'gt_tracks': true}
  truth = {'gt_visible': seen[..., None] * 1.0}
  calls = {'pred_visible': claimed[..., None] * 1.0}
  theirs = oracle.tracks
  for name, maker, inputs in (
    ('average_jaccard', theirs.TapAverageJaccard, places | truth | calls),
    ('position_accuracy', theirs.TapPositionAccuracy, places | truth),
    ('occlusion_accuracy', theirs.TapOcclusionAccuracy, truth | calls),
  ):
    metric = maker(**dict.fromkeys(inputs, ''), query_mode=mode)
    want = _score(metric, **inputs, **shared)
    assert ours[name] == pytest.approx(want, abs=1e-5), name


@pytest.mark.parametrize('seed', range(4))
def test_depth(oracle, seed):
  rng = np.random.default_rng(seed)
  shape = 3, 2, 4, 5, 1
  true = rng.uniform(0.2, 9, shape)
  predicted = true * rng.uniform(0.6, 1.6, shape)
  valid = rng.random(shape) < 0.7
  predicted, true = (jnp.asarray(x, jnp.float32) for x in (predicted, true))
  sums = metrics.depth_sums(predicted, true, jnp.asarray(valid))
  ours = metrics.depth_scores({k: np.sum(v) for k, v in sums.items()})
  for name, maker in (
    ('abs_rel', oracle.depth.MeanAbsoluteRelativeError),
    ('delta1', oracle.depth.Delta1),
  ):
    metric = maker(preds='', targets='')
    inputs = {'preds': predicted, 'targets': true, 'mask': jnp.asarray(valid)}
    assert ours[name] == pytest.approx(_score(metric, **inputs), abs=1e-5), name


@pytest.mark.parametrize('seed', range(4))
def test_pose(oracle, seed):
  rng = np.random.default_rng(seed)
  b, p = 5, 6
  true = rng.normal(0, 1, (b, p, 3, 4))
  # Errors from less than a degree to nearly anything.
  noise = rng.normal(0, 10.0 ** rng.uniform(-2, 0, (b, p, 1, 1)), true.shape)
  true[..., :3] = nearest_rotation(jnp.asarray(true[..., :3]))
  predicted = true + noise
  predicted[..., :3] = nearest_rotation(jnp.asarray(predicted[..., :3]))
  true[0, 0, :, 3] = 0  # a camera that does not move
  predicted, true = (jnp.asarray(x, jnp.float32) for x in (predicted, true))
  sums = metrics.pose_sums(predicted, true)
  ours = metrics.pose_scores({k: np.sum(v) for k, v in sums.items()})

  maker = oracle.pose
  wanted = {
    'end_point_error': maker.PoseEndPointError(preds='', targets=''),
    'auc_30': maker.PoseMeanAverageAccuracy(preds='', targets=''),
  }
  for kind, short, metric in (
    ('rotation', 'rra', maker.RelativeRotationError),
    ('translation', 'rta', maker.RelativeTranslationError),
  ):
    wanted[f'{kind}_angle'] = metric(preds='', targets='', mode='mean')
    for limit in (5, 15, 30):
      wanted[f'{short}_{limit}'] = metric(
        preds='', targets='', threshold_degs=float(limit)
      )
  for name, metric in wanted.items():
    # kauldron's angles are arc cosines, which float32 rounds to 0.03 degrees.
    want = _score(metric, preds=predicted, targets=true)
    assert ours[name] == pytest.approx(want, abs=0.02), name


@pytest.mark.parametrize('seed', range(4))
def test_tracks_in_metres(oracle, seed):
  rng = np.random.default_rng(seed)
  b, q, t = 3, 7, 9
  true = rng.uniform(-1, 1, (b, q, t, 3)) + np.array([0, 0, 3.0])
  noise = rng.normal(0, rng.uniform(0.001, 0.1, (b, q, 1, 1)), true.shape)
  predicted = rng.uniform(0.5, 2) * (true + noise)
  seen, claimed = rng.random((2, b, q, t)) < [[[[0.7]]], [[[0.8]]]]
  size = np.array([256.0, 256.0])
  normal = rng.uniform(0.8, 1.2, (b, 2))  # focal lengths as parts of the sides
  lens = jnp.asarray(np.c_[normal, [[0.5, 0.5]] * b])
  predicted, true = (jnp.asarray(x, jnp.float32) for x in (predicted, true))
  seen, claimed = map(jnp.asarray, (seen, claimed))
  sums = metrics.track3d_sums(
    *(predicted, claimed, true, seen),
    valid=jnp.ones((b, q), bool),
    focal=metrics.focal_length(lens),
    unseen='zero',
  )
  ours = metrics.track_scores({k: np.sum(v) for k, v in sums.items()})
  inputs = {
    'pred_tracks': predicted,
    'gt_tracks': true,
    'pred_visible': claimed[..., None] * 1.0,
    'gt_visible': seen[..., None] * 1.0,
    'intrinsics': jnp.asarray(np.c_[normal * size, [[128.0] * 2] * b]),
    # Its query frame counts too.
    'evaluation_mask': jnp.ones((b, q, t)),
  }
  for name, maker in (
    ('average_jaccard', oracle.tracks3d.Tap3DAverageJaccard),
    ('position_accuracy', oracle.tracks3d.Tap3DPositionAccuracy),
  ):
    metric = maker(**dict.fromkeys(inputs, ''))
    want = _score(metric, **inputs)
    assert ours[name] == pytest.approx(want, abs=1e-5), name
