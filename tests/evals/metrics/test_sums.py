"""Sums of clips: the same in any batches and on any mesh, and intervals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from evals import metrics

CLIPS = 8


def _depth(rng):
  true = rng.uniform(0.5, 9, (CLIPS, 2, 3, 5, 1)).astype(np.float32)
  noise = rng.uniform(0.5, 2, true.shape).astype(np.float32)
  return true * noise, true, rng.random(true.shape) < 0.6


def _tracks(rng):
  shape = CLIPS, 6, 5
  true = rng.uniform(0, 1, (*shape, 2)).astype(np.float32)
  noise = rng.normal(0, 0.03, true.shape).astype(np.float32)
  seen = rng.random((2, *shape)) < 0.7
  valid = rng.random(shape[:2]) < 0.8
  valid[3] = False
  return true + noise, seen[0], true, seen[1], valid


def _boxes(rng):
  shape = CLIPS, 4, 5
  corners = np.sort(rng.uniform(0, 1, (*shape, 2, 2)), axis=-2)
  true = corners.reshape(*shape, 4).astype(np.float32)
  noise = rng.normal(0, 0.1, true.shape).astype(np.float32)
  return true + noise, true, rng.random(shape) < 0.6


def _pose(rng):
  true, noise = rng.normal(0, 1, (2, CLIPS, 3, 3, 4)).astype(np.float32)
  true[..., :3] = np.linalg.qr(true[..., :3])[0]
  return true + noise / 5, true


def _classes(rng):
  logits = rng.normal(0, 1, (CLIPS, 3, 9)).astype(np.float32)
  return logits, rng.integers(-1, 9, CLIPS), rng.random((CLIPS, 3)) < 0.7


def _track_sums(predicted, seen, true, true_seen, valid):
  return metrics.track_sums(
    *(predicted, seen, true, true_seen),
    valid=valid,
    query_frame=jnp.zeros(valid.shape, int),
  )


METRICS = {
  'depth': (_depth, metrics.depth_sums, metrics.depth_scores),
  'tracks': (_tracks, _track_sums, metrics.track_scores),
  'boxes': (_boxes, metrics.box_sums, metrics.box_scores),
  'pose': (_pose, metrics.pose_sums, metrics.pose_scores),
  'classes': (_classes, metrics.class_sums, metrics.class_scores),
}


@pytest.mark.parametrize('name', METRICS)
def test_shards_and_padded_batches_say_what_the_whole_says(name):
  draw, sums_of, scores = METRICS[name]
  sums_of = jax.jit(sums_of)
  clips = draw(np.random.default_rng(0))
  whole = jax.device_get(sums_of(*map(jnp.asarray, clips)))
  assert all(values.shape == (CLIPS,) for values in whole.values())

  # Eight devices, a clip on each.
  mesh = Mesh(np.array(jax.devices()), 'batch')
  place = NamedSharding(mesh, PartitionSpec('batch'))
  sharded = jax.device_get(sums_of(*jax.device_put(clips, place)))
  # Batches of three: the last has one row too many, which is dropped.
  rows = np.arange(9).reshape(3, 3) % CLIPS
  batches = [sums_of(*(jnp.asarray(x[row]) for x in clips)) for row in rows]
  joined = {
    key: np.concatenate([batch[key] for batch in batches])[:CLIPS]
    for key in whole
  }
  want = scores(metrics.total(whole))
  for got in (sharded, joined):
    for key, value in scores(metrics.total(got)).items():
      assert value == pytest.approx(want[key], rel=1e-5), key


@pytest.mark.parametrize('name', METRICS)
def test_no_label_that_counts_is_no_score_and_no_nan(name):
  draw, sums_of, scores = METRICS[name]
  clips = draw(np.random.default_rng(0))
  sums = sums_of(*map(jnp.asarray, clips))
  nothing = jax.tree.map(lambda x: np.zeros((), x.dtype), sums)
  assert set(scores(nothing).values()) == {0}


def test_bootstrap_interval_covers_and_repeats():
  # The mean of n clips has standard error s / sqrt(n): the interval of a
  # ratio with equal pixels must be 2 x 1.96 of those wide.
  rng = np.random.default_rng(1)
  clips = {
    name: np.ones(400, np.float32)
    for name in ('count', 'square', 'square_log', 'delta1', 'delta2', 'delta3')
  }
  clips['abs_rel'] = rng.normal(0.3, 0.1, 400)
  ends = metrics.bootstrap(clips, metrics.depth_scores)
  low, high = ends['abs_rel']
  assert low < clips['abs_rel'].mean() < high
  assert high - low == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.15)
  assert ends == metrics.bootstrap(clips, metrics.depth_scores)
  assert ends['rmse'] == (1, 1)
