"""Depth metrics: golden values, masks, sums over any batches."""

import jax.numpy as jnp
import numpy as np
import pytest

from evals import metrics


def _sums(predicted, true, valid=None):
  shape = (-1, 1, 1, len(np.atleast_2d(true)[0]), 1)
  true = jnp.asarray(true, jnp.float32).reshape(shape)
  predicted = jnp.asarray(predicted, jnp.float32).reshape(shape)
  if valid is None:
    valid = np.ones(true.shape, bool)
  return metrics.depth_sums(
    predicted, true, jnp.asarray(valid, bool).reshape(shape)
  )


def _scores(sums):
  return metrics.depth_scores(
    metrics.total({k: np.asarray(v) for k, v in sums.items()})
  )


@pytest.mark.parametrize('garbage', [0.0, -1.0, np.nan, np.inf])
def test_golden_values_and_a_masked_pixel(garbage):
  scores = _scores(
    _sums([1.3, 2, 3, 9], [1, 2, 4, garbage], [True, True, True, False])
  )
  assert scores['abs_rel'] == pytest.approx(0.18333, abs=1e-5)
  assert scores['delta1'] == pytest.approx(1 / 3)
  assert scores['delta2'] == scores['delta3'] == 1
  assert scores['rmse'] == pytest.approx(np.sqrt((0.09 + 0 + 1) / 3))
  logs = np.log([1.3, 1, 3 / 4])
  assert scores['log_rmse'] == pytest.approx(np.sqrt((logs**2).mean()))


def test_negative_predictions_are_raised_only_where_a_log_needs_it():
  scores = _scores(_sums([-1.0], [2.0]))
  assert scores['abs_rel'] == pytest.approx(1.5)
  assert scores['log_rmse'] == pytest.approx(np.log(2000), rel=1e-5)
  assert scores['delta3'] == 0


def test_sums_do_not_depend_on_batches_and_clips_weigh_by_their_pixels():
  rng = np.random.default_rng(0)
  true = rng.uniform(0.5, 9, (6, 5))
  predicted = true * rng.uniform(0.5, 2, true.shape)
  valid = rng.random(true.shape) < 0.6
  whole = _sums(predicted, true, valid)
  halves = [
    _sums(predicted[rows], true[rows], valid[rows])
    for rows in (slice(0, 2), slice(2, 6))
  ]
  for name, values in whole.items():
    np.testing.assert_array_equal(
      values, np.concatenate([half[name] for half in halves])
    )
  error = (np.abs(predicted - true) / true)[valid]
  assert _scores(whole)['abs_rel'] == pytest.approx(error.mean(), rel=1e-5)


def test_no_valid_pixel_scores_zero_and_adds_nothing():
  sums = _sums([[1.0], [3.0]], [[2.0], [0.0]], [True, False])
  np.testing.assert_array_equal(sums['count'], [1, 0])
  assert _scores(sums)['abs_rel'] == pytest.approx(0.5)
  empty = {name: np.zeros(2) for name in sums}
  assert set(metrics.depth_scores(metrics.total(empty)).values()) == {0}


def test_frames_weigh_the_same_and_predictions_stay_in_range_if_asked():
  """As monodepth2 has it: each score of an image, then a mean over images."""
  rng = np.random.default_rng(0)
  true = rng.uniform(0.5, 9, (2, 3, 4, 5, 1)).astype(np.float32)
  predicted = (true * rng.uniform(0.3, 3, true.shape)).astype(np.float32)
  predicted[0, 0, 0] = -1
  valid = rng.random(true.shape) < 0.6
  valid[0, 1], valid[1, 2, :3] = False, False  # no pixel, and few
  sums = metrics.depth_sums(
    *map(jnp.asarray, (predicted, true, valid)),
    floor=0.1,
    ceiling=10.0,
    average='images',
  )
  clipped, frames = np.clip(predicted, 0.1, 10), []
  for clip, frame in np.ndindex(2, 3):
    where = valid[clip, frame]
    if where.any():
      p, g = clipped[clip, frame][where], true[clip, frame][where]
      ratio = np.maximum(p / g, g / p)
      frames.append(
        {
          'abs_rel': np.mean(np.abs(p - g) / g),
          'rmse': np.sqrt(np.mean((p - g) ** 2)),
          'log_rmse': np.sqrt(np.mean((np.log(p) - np.log(g)) ** 2)),
          **{f'delta{k}': np.mean(ratio < 1.25**k) for k in (1, 2, 3)},
        }
      )
  assert np.asarray(sums['count']).tolist() == [2, 3]
  scores = _scores(sums)
  for name in frames[0]:
    want = np.mean([frame[name] for frame in frames])
    assert scores[name] == pytest.approx(want, rel=1e-5), name
  assert scores.keys() == frames[0].keys()
