"""Points in metres: the published definition, scale, frames, focal length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evals import metrics


def _clips(seed=0, b=3, q=5, t=4):
  rng = np.random.default_rng(seed)
  true = rng.uniform(-1, 1, (b, q, t, 3)) + np.array([0, 0, 3.0])
  predicted = true + rng.normal(0, 0.02, true.shape)
  return {
    'predicted': predicted.astype(np.float32),
    'predicted_visible': rng.random((b, q, t)) < 0.8,
    'true': true.astype(np.float32),
    'true_visible': rng.random((b, q, t)) < 0.7,
    'valid': np.arange(q)[None] < np.array([[5], [3], [4]])[:b],
    'focal': rng.uniform(200, 300, b).astype(np.float32),
  }


def _scores(clips, **options):
  sums = metrics.track3d_sums(**jax.tree.map(jnp.asarray, clips), **options)
  return metrics.track_scores(metrics.total(jax.device_get(sums)))


def _by_definition(clips):
  """Clip by clip, point by point."""
  found = []
  for b, count in enumerate(clips['valid'].sum(1)):
    predicted, true = (clips[x][b, :count] for x in ('predicted', 'true'))
    seen, called = (
      clips[x][b, :count] for x in ('true_visible', 'predicted_visible')
    )
    both = seen & called
    scale = np.median(np.linalg.norm(true, axis=-1)[both]) / np.median(
      np.linalg.norm(predicted, axis=-1)[both]
    )
    error = np.linalg.norm(scale * predicted - true, axis=-1)
    jaccard, position = [], []
    for pixels in (1, 2, 4, 8, 16):
      near = error < pixels * true[..., 2] / clips['focal'][b]
      wrong = called & ~(seen & near)
      jaccard.append((seen & near & called).sum() / (seen.sum() + wrong.sum()))
      position.append((seen & near).sum() / seen.sum())
    found.append((np.mean(jaccard), np.mean(position), np.mean(seen == called)))
  return dict(
    zip(
      ('average_jaccard', 'position_accuracy', 'occlusion_accuracy'),
      np.mean(found, axis=0),
    )
  )


def test_scores_are_those_of_the_definition():
  clips = _clips()
  scores = _scores(clips)
  for name, want in _by_definition(clips).items():
    assert 0 < want < 1
    assert scores[name] == pytest.approx(want, rel=1e-5), name
  # Padding may hold anything.
  hidden = ~clips['valid'][:, :, None, None]
  noise = dict(clips, predicted=np.where(hidden, 9, clips['predicted']))
  noise['true'] = np.where(hidden, np.nan, clips['true'])
  assert _scores(noise) == scores


def test_the_unit_of_a_clip_does_not_count_unless_asked():
  clips = _clips()
  scaled = dict(clips, predicted=7 * clips['predicted'])
  want = _scores(clips)
  for name, value in _scores(scaled).items():
    assert value == pytest.approx(want[name], rel=1e-4), name
  assert _scores(scaled, scaling='none')['position_16'] == 0
  assert _scores(clips, scaling='none')['position_16'] > 0.5
  with pytest.raises(ValueError, match="did you mean 'median'"):
    _scores(clips, scaling='mean')


def test_nothing_that_both_see_is_near_nothing():
  clips = _clips(b=1)
  clips['predicted_visible'] = ~clips['true_visible']
  scores = _scores(clips)
  assert scores['average_jaccard'] == scores['occlusion_accuracy'] == 0
  assert scores['position_accuracy'] == 0


def test_the_focal_length_is_of_a_picture_of_256():
  # 300 pixels, of 320 x 240.
  lens = jnp.asarray([[300 / 320, 300 / 240, 0.5, 0.5]])
  got = metrics.focal_length(lens)
  assert got == pytest.approx(256 * 300 / np.sqrt(240 * 320))
  assert metrics.focal_length(lens, 'tapnet') == pytest.approx(256 * 300 / 240)
