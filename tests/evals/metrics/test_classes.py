"""Class metrics: clips of one video, ties, labels that do not count."""

import jax.numpy as jnp
import numpy as np
import pytest

from evals import metrics


def _sums(logits, label, valid=None):
  sums = metrics.class_sums(
    jnp.asarray(logits, jnp.float32), jnp.asarray(label), valid
  )
  return {name: np.asarray(values).tolist() for name, values in sums.items()}


def test_probabilities_are_averaged_and_not_logits():
  # One clip is sure of class 0, two lean to class 1: the mean logit says 0,
  # the mean probability says 1.
  logits = np.zeros((1, 3, 7))
  logits[0, 0, 0], logits[0, 1:, 1] = 20, 6
  assert logits.mean(1).argmax() == 0
  assert _sums(logits, [1])['top1'] == [1]
  there = jnp.asarray([[True, True, False]])
  assert _sums(logits, [0], there)['top1'] == [1]


def test_first_five_and_ties_as_argmax():
  logits = np.tile(np.arange(8.0)[::-1], (8, 1, 1))
  assert _sums(logits, range(8))['top1'] == [1] + 7 * [0]
  assert _sums(logits, range(8))['top5'] == 5 * [1] + 3 * [0]
  constant = np.zeros((8, 1, 8))
  assert _sums(constant, range(8)) == _sums(logits, range(8))


def test_what_does_not_count_and_what_is_wrong():
  logits = np.zeros((3, 2, 9))
  logits[1] = np.nan
  sums = _sums(
    logits, [-1, 0, 0], jnp.asarray([[True] * 2] * 2 + [[False] * 2])
  )
  assert sums == {'count': [0, 1, 0], 'top1': [0, 0, 0], 'top5': [0, 0, 0]}
  scores = metrics.class_scores({'count': 4, 'top1': 1.0, 'top5': 3.0})
  assert scores == {'top1': pytest.approx(0.25), 'top5': pytest.approx(0.75)}


def test_a_label_beyond_the_classes_is_never_right():
  # Of four classes all are among the first five.
  logits = np.zeros((3, 1, 4))
  logits[2] = np.nan
  sums = _sums(logits, [4, 3, 0])
  assert sums == {'count': [1, 1, 1], 'top1': [0, 0, 0], 'top5': [0, 1, 0]}
  assert _sums(np.zeros((1, 1, 9)), [9])['top5'] == [0]


def test_clips_of_a_video_are_joined_wherever_their_batches_ended():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(12, 2, 9)).astype(np.float32)  # clips, heads
  video = np.repeat([4, 0, 7, 2], 3)
  label = np.repeat([1, 2, -1, 3], 3)
  heads = [
    metrics.share_sums(*map(jnp.asarray, (logits[:, i], label, video)))
    for i in range(2)
  ]
  clips = {
    name: np.stack([head[name] for head in heads], axis=1) for name in heads[0]
  }
  got = metrics.join_videos(clips)
  order = np.argsort([4, 0, 7, 2])
  for i in range(2):
    want = metrics.class_sums(
      jnp.asarray(logits[:, i].reshape(4, 3, 9)[order]),
      jnp.asarray(label[::3][order]),
    )
    for name, values in want.items():
      np.testing.assert_array_equal(got[name][:, i], values)
  plain = {'count': np.ones(3), 'top1': np.zeros(3)}
  assert metrics.join_videos(plain) == plain
