"""Pose metrics: golden values, projection, angles, areas, still cameras."""

import jax.numpy as jnp
import numpy as np
import pytest

from evals import metrics
from evals.metrics import pose


def _rotation(degrees, axis=2):
  c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
  i, j = (axis + 1) % 3, (axis + 2) % 3
  matrix = np.eye(3)
  matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
  return matrix


def _pose(degrees=0.0, move=(0, 0, 0), axis=2):
  matrix = np.c_[_rotation(degrees, axis), move]
  return jnp.asarray(matrix, jnp.float32)[None, None]


def _scores(predicted, true, **options):
  sums = metrics.pose_sums(predicted, true, **options)
  return metrics.pose_scores(
    metrics.total({k: np.asarray(v) for k, v in sums.items()})
  )


def test_end_point_error_golden_values():
  moved = _scores(_pose(move=(3, 4, 0)), _pose())
  assert moved['end_point_error'] == pytest.approx(5.0)
  turned = _scores(_pose(10), _pose())
  assert turned['end_point_error'] == pytest.approx(1.2325683, rel=1e-6)
  # Points are in front of the camera: about x they go round differently.
  tilted = _scores(_pose(10, axis=0), _pose())
  assert tilted['end_point_error'] > 1.3


def test_scale_and_noise_are_projected_away_and_a_mirror_is_not_kept():
  true = _pose(25)
  assert _scores(true.at[..., :3].multiply(1.7), true)[
    'end_point_error'
  ] == pytest.approx(0, abs=1e-5)
  rng = np.random.default_rng(0)
  matrices = jnp.asarray(rng.normal(size=(20, 3, 3)), jnp.float32)
  assert (jnp.linalg.det(matrices) < 0).any()
  turned = pose.nearest_rotation(matrices)
  np.testing.assert_allclose(jnp.linalg.det(turned), 1, rtol=1e-5)
  np.testing.assert_allclose(
    turned @ turned.swapaxes(1, 2), np.tile(np.eye(3), (20, 1, 1)), atol=1e-5
  )


@pytest.mark.parametrize('degrees', [0.0, 0.01, 10.0, 90.0, 179.0, 180.0])
def test_rotation_angle(degrees):
  a, b = (jnp.asarray(_rotation(d, axis=1)) for d in (30, 30 + degrees))
  assert pose.rotation_angle(a, b) == pytest.approx(degrees, abs=1e-4)


def test_direction_angle_ignores_length_and_keeps_the_sign_unless_folded():
  a, b = jnp.asarray([2.0, 0, 0]), jnp.asarray([-5.0, 5.0, 0])
  assert pose.direction_angle(a, b) == pytest.approx(135)
  assert pose.direction_angle(a, b, fold=True) == pytest.approx(45)
  assert pose.direction_angle(a, -a) == pytest.approx(180)
  assert pose.direction_angle(a, -a, fold=True) == pytest.approx(0)
  # float32 products of this vector with itself exceed its squared length.
  c = jnp.asarray([0.3, 0.7, 0.1]) * 1.1
  assert pose.direction_angle(c, c) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(('bins', 'want'), [(31, 0.67742), (30, 0.66667)])
def test_area_golden_values(bins, want):
  true = _pose(0, (0, 0, 1))
  area = _scores(_pose(10, (0, 0, 2), axis=1), true, bins=bins)['auc_30']
  assert area == pytest.approx(want, abs=1e-5)
  ends = pose.auc(jnp.asarray([0.0, 30.0, 30.1, 180.0]), bins=bins)
  np.testing.assert_allclose(ends, [1, 1 / bins, 0, 0], atol=1e-6)


def test_thresholds_and_the_worse_of_both_angles():
  true = _pose(0, (0, 0, 1))
  scores = _scores(_pose(10, (1, 0, 0)), true)
  shares = [scores[f'{name}_{d}'] for name in ('rra', 'rta') for d in (5, 15)]
  assert shares == [0, 1, 0, 0]
  assert scores['rotation_angle'] == pytest.approx(10, abs=1e-4)
  assert scores['translation_angle'] == pytest.approx(90, abs=1e-4)
  assert scores['auc_30'] == 0
  flipped = _pose(0, (0, 0, -1))
  assert _scores(flipped, true)['rta_30'] == 0
  assert _scores(flipped, true, fold=True)['rta_5'] == 1


def test_standing_still_is_no_direction_and_a_broken_pose_does_not_count():
  moving, still = _pose(0, (0, 0, 1)), _pose()
  assert _scores(still, moving)['translation_angle'] == 90
  true = jnp.concatenate([moving, still, moving.at[..., 3].set(-jnp.inf)], 1)
  predicted = jnp.tile(_pose(3, (0, 0, 2)), (1, 3, 1, 1))
  # Counted as in kauldron, or left out of scores that need a direction.
  for options, pairs in (({}, 2), ({'still': 'left_out'}, 1)):
    sums = metrics.pose_sums(predicted, true, **options)
    assert (sums['count'], sums['moving']) == (2, pairs)
    scores = metrics.pose_scores(sums)
    assert scores['rta_5'] == 1 / pairs
    assert scores['auc_30'] == pytest.approx((1 - 3 / 31) / pairs, abs=1e-5)
    assert scores['rotation_angle'] == pytest.approx(3, abs=1e-4)
