"""Point metrics: golden values, padding, clips of one weight, bad modes."""

import jax.numpy as jnp
import numpy as np
import pytest

from evals import metrics


def _golden():
  """The draws whose scores two public implementations agree on."""
  rng = np.random.default_rng(0)
  b, n, t = 1, 20, 12
  true = rng.uniform(0, 256, (b, n, t, 2))
  predicted = true + rng.normal(0, 4, true.shape)
  occluded = rng.random((b, n, t)) < 0.3
  wrong = rng.random(occluded.shape) < 0.1
  return {
    'predicted': jnp.asarray(predicted / 256, jnp.float32),
    'predicted_visible': jnp.asarray(occluded == wrong),
    'true': jnp.asarray(true / 256, jnp.float32),
    'true_visible': jnp.asarray(~occluded),
    'valid': jnp.ones((b, n), bool),
    'query_frame': jnp.asarray((~occluded).argmax(2)),
  }


def _scores(clips, **options):
  sums = metrics.track_sums(**clips, **options)
  return metrics.track_scores(
    metrics.total({k: np.asarray(v) for k, v in sums.items()})
  )


@pytest.mark.parametrize(
  ('mode', 'jaccard', 'occlusion'),
  [('first', 0.36190, 0.86730), ('strided', 0.35970, 0.86818)],
)
def test_golden_values(mode, jaccard, occlusion):
  scores = _scores(_golden(), mode=mode)
  assert scores['average_jaccard'] == pytest.approx(jaccard, abs=1e-5)
  assert scores['position_accuracy'] == pytest.approx(0.49861, abs=1e-5)
  assert scores['occlusion_accuracy'] == pytest.approx(occlusion, abs=1e-5)
  for name in ('jaccard', 'position'):
    steps = [scores[f'{name}_{d}'] for d in (1, 2, 4, 8, 16)]
    assert steps == sorted(steps)


def test_padded_queries_change_nothing_whatever_they_hold():
  clips = _golden()
  want = _scores(clips)
  for key, value in clips.items():
    filler = np.nan if value.dtype == jnp.float32 else 0
    rows = jnp.full_like(value[:, :3], filler)
    clips[key] = jnp.concatenate([value, rows], axis=1)
  assert _scores(clips) == want


def test_clips_weigh_the_same_and_padding_alone_is_left_out():
  one = _golden()
  few = {key: value[:, :2] for key, value in one.items()}
  few['valid'] = few['valid'].at[0, 1].set(False)
  none = dict(one, valid=jnp.zeros_like(one['valid']))
  pad = {
    key: jnp.concatenate([value, jnp.zeros_like(one[key][:, 2:])], axis=1)
    for key, value in few.items()
  }
  sums = metrics.track_sums(
    **{key: jnp.concatenate([one[key], pad[key], none[key]]) for key in one}
  )
  np.testing.assert_array_equal(sums['count'], [1, 1, 0])
  assert all(float(values[2]) == 0 for values in sums.values())
  total = metrics.total({k: np.asarray(v) for k, v in sums.items()})
  for name, value in metrics.track_scores(total).items():
    mean = (_scores(one)[name] + _scores(few)[name]) / 2
    assert value == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize('called', [True, False])
def test_a_clip_without_a_visible_point_has_what_official_code_gives_it(called):
  """Occlusion counts, Jaccard if a point is called visible, place does not."""
  one = _golden()
  # Asked for in frame 1; of the 10 frames after it 2 are called visible.
  hidden = dict(one, true_visible=jnp.zeros_like(one['true_visible']))
  hidden['query_frame'] = jnp.ones_like(one['query_frame'])
  calls = jnp.zeros_like(one['true_visible'])
  calls = calls.at[..., :2].set(True)  # these are not judged
  hidden['predicted_visible'] = calls.at[..., -2:].set(called)
  both = {key: jnp.concatenate([one[key], hidden[key]]) for key in one}
  alone, mean = _scores(one), _scores(both)
  share = 0.5 if called else 1.0
  for name in ('average_jaccard', 'jaccard_1', 'jaccard_16'):
    assert mean[name] == pytest.approx(share * alone[name], rel=1e-6), name
  for name in ('position_accuracy', 'position_4'):
    assert mean[name] == pytest.approx(alone[name], rel=1e-6), name
  agreed = 0.8 if called else 1.0
  assert mean['occlusion_accuracy'] == pytest.approx(
    (alone['occlusion_accuracy'] + agreed) / 2, rel=1e-6
  )
  # kauldron's denominators are never 0.
  zero = _scores(both, unseen='zero')
  for name in ('average_jaccard', 'position_accuracy'):
    assert zero[name] == pytest.approx(0.5 * alone[name], rel=1e-6), name


def test_two_videos_one_without_a_visible_point():
  """Digits of the official code; once the second one was left out of both."""
  off = jnp.asarray([0, 0.5, *[6] * 4, *[12] * 4, 0, 0, 0]) / 256
  visible = jnp.asarray([True] * 10 + [False] * 3)
  true = jnp.zeros((2, 1, 13, 2))
  clips = {
    'predicted': true.at[..., 0].set(off),
    # Of three hidden frames two are called visible; of twelve of the second
    # video, whose point is seen in the frame of its query alone, eight.
    'predicted_visible': jnp.arange(13) < jnp.asarray([12, 9])[:, None, None],
    'true': true,
    'true_visible': jnp.stack([visible, jnp.arange(13) < 1])[:, None],
    'valid': jnp.ones((2, 1), bool),
    'query_frame': jnp.zeros((2, 1), int),
  }
  names = 'average_jaccard', 'occlusion_accuracy', 'position_accuracy'
  one = _scores({key: value[:1] for key, value in clips.items()})
  assert [round(one[name], 4) for name in names] == [0.2619, 0.8333, 0.3778]
  both = _scores(clips)
  assert [round(both[name], 4) for name in names] == [0.1309, 0.5833, 0.3778]


def test_the_query_frame_and_a_distance_of_the_threshold_do_not_count():
  # One point, three frames, asked for in frame 1.
  clips = {
    'predicted': jnp.asarray([[[[0, 0], [0, 0], [4 / 256, 0]]]], jnp.float32),
    'predicted_visible': jnp.ones((1, 1, 3), bool),
    'true': jnp.zeros((1, 1, 3, 2)),
    'true_visible': jnp.ones((1, 1, 3), bool),
    'valid': jnp.ones((1, 1), bool),
    'query_frame': jnp.ones((1, 1), int),
  }
  first, strided = (_scores(clips, mode=mode) for mode in ('first', 'strided'))
  assert [first[f'position_{d}'] for d in (1, 2, 4, 8, 16)] == [0, 0, 0, 1, 1]
  assert first['position_accuracy'] == pytest.approx(2 / 5)
  # A visible point that is missed is one lost and one wrong.
  assert strided['jaccard_4'] == pytest.approx(1 / 3)
  with pytest.raises(ValueError, match="mode='last': expected one of first"):
    _scores(clips, mode='last')
  with pytest.raises(ValueError, match="unseen='none': expected one of no_val"):
    _scores(clips, unseen='none')
