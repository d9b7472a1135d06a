"""The point task: layout, published loss, padding, still points, pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evals import metrics
from evals.tasks import points
from tests.evals import recipes


def _batch(b=2, q=5, t=6, h=16, w=24):
  rng = np.random.default_rng(0)
  visible = rng.random((b, q, t)) < 0.7
  visible[:, :, 0] = True
  visible[:, -1] = False  # padding
  tracks = rng.uniform(0, 1, (b, q, t, 2))
  tracks[:, -1] = 0
  return {
    'video': jnp.asarray(rng.integers(0, 256, (b, t, h, w, 3)), jnp.uint8),
    'tracks': jnp.asarray(tracks, jnp.float32),
    'tracks_visible': jnp.asarray(visible),
  }


def _scores(task, predicted, batch):
  sums = jax.device_get(task.sums(predicted, batch))
  return task.scores(metrics.total(sums))


def _truth(batch):
  sure = jnp.where(batch['tracks_visible'], 10.0, -10.0)
  return points.Tracks(batch['tracks'], sure, sure)


def test_head_of_the_published_clip():
  head = recipes.task('points').head((16, 224, 224))
  assert (head.width, head.heads, head.conditioning) == (1024, 8, 2)
  assert (head.copies, head.outputs) == (8, 8)
  tokens, asked = jnp.zeros((1, 16, 9, 512)), jnp.zeros((1, 3, 2))
  shapes = jax.eval_shape(head.init, jax.random.key(0), tokens, asked)
  count = sum(x.size for x in jax.tree.leaves(shapes))
  assert count == 11_338_760  # the published MooG head
  with pytest.raises(ValueError, match='even number of frames, got 7'):
    recipes.task('points').head((7, 224, 224))


@pytest.mark.parametrize('residual', [False, True])
def test_each_copy_predicts_its_own_frames(residual):
  batch, task = _batch(), recipes.task('points', residual=residual)
  outputs = jnp.zeros((2, 5 * 3, 8))
  # Point 1, copy 2: frames 4 and 5. The second frame's x, visible, certain.
  outputs = outputs.at[0, 1 * 3 + 2, 4:].set(jnp.asarray([2.0, 0, 3, -4]))
  tracks = task.predict(outputs, batch)
  assert tracks.place.shape == batch['tracks'].shape
  start = task.queries(batch)[:, :, None] if residual else 0.5
  moved = np.asarray(tracks.place - start)
  np.testing.assert_array_equal(
    np.argwhere(np.abs(moved) > 1e-6), [[0, 1, 5, 0]]
  )
  want = 0.2 if residual else 1 / (1 + np.exp(-2)) - 0.5
  assert moved[0, 1, 5, 0] == pytest.approx(want, rel=1e-5)
  assert (tracks.visible[0, 1, 5], tracks.certain[0, 1, 5]) == (3, -4)
  assert np.count_nonzero(tracks.visible) == np.count_nonzero(tracks.certain)


def test_visible_needs_both_to_be_likely():
  visible, certain = jnp.asarray([[[3.0, 0.5, 0.5]], [[3.0, -3.0, 0.9]]])
  tracks = points.Tracks(jnp.zeros((1, 3, 2)), visible, certain)
  # 0.62 x 0.71 is less than a half though each is more.
  np.testing.assert_array_equal(tracks.seen(), [[True, False, False]])


def test_loss_is_the_published_one_per_clip():
  batch = _batch(b=1)
  rng = np.random.default_rng(1)
  tracks = points.Tracks(
    batch['tracks'] + jnp.asarray(rng.normal(0, 0.2, (1, 5, 6, 2))),
    *jnp.asarray(rng.normal(0, 1, (2, 1, 5, 6))),
  )
  tracks = jax.tree.map(lambda x: x.astype(jnp.float32), tracks)
  pixel = 1 / np.sqrt(16 * 24)
  seen = np.asarray(batch['tracks_visible'][0])
  distance = np.linalg.norm(tracks.place - batch['tracks'], axis=-1)[0]
  huber = np.where(
    distance < pixel, distance**2 / 2, pixel * (distance - pixel / 2)
  )

  def entropy(logit, true):
    share = 1 / (1 + np.exp(-np.asarray(logit, float)[0]))
    return -np.log(np.where(true, share, 1 - share))

  want = (
    100 * huber[seen].sum() / 30
    + 0.1 * entropy(tracks.visible, seen)[:4].sum() / 24
    + 0.1 * entropy(tracks.certain, distance <= 6 * pixel)[seen].sum() / 30
  )
  (loss,) = recipes.task('points').loss(tracks, batch)
  assert loss == pytest.approx(want, rel=1e-5)


def test_hidden_and_padded_points_teach_nothing():
  batch = _batch()
  batch['tracks_visible'] = batch['tracks_visible'].at[1].set(False)
  hidden = ~batch['tracks_visible'][..., None]
  # Off the picture, behind the camera, or not recorded at all.
  batch['tracks'] = jnp.where(hidden, jnp.nan, batch['tracks'])
  task = recipes.task('points', residual=True)
  assert np.isfinite(task.queries(batch)).all()

  def loss(outputs):
    return task.loss(task.predict(outputs, batch), batch)

  # At rest in frame 0: a distance of 0 has a gradient too.
  outputs = jnp.zeros((2, 5 * 3, 8))
  assert loss(outputs)[1] == 0
  slope = np.asarray(jax.grad(lambda x: loss(x).sum())(outputs))
  assert np.isfinite(slope).all()
  assert slope[0, :12].any()
  assert not slope[0, 12:].any()
  assert not slope[1].any()
  sums = task.sums(task.predict(outputs, batch), batch)
  np.testing.assert_array_equal(sums['count'], [1, 0])


def test_the_truth_is_perfect_and_still_points_are_the_trivial_answer():
  batch, task = _batch(), recipes.task('points')
  scores = _scores(task, _truth(batch), batch)
  assert {scores[name] for name in task.headline} == {1}
  still = task.trivial(task.facts(batch), batch)
  np.testing.assert_array_equal(still.place[:, :, 5], batch['tracks'][:, :, 0])
  assert still.seen().all()
  batch['tracks'] = jnp.broadcast_to(still.place, batch['tracks'].shape)
  assert _scores(task, still, batch)['position_accuracy'] == 1
  # Points appear at their query: what is asked for is those of frame 0.
  batch['tracks_visible'] = batch['tracks_visible'].at[:, 1:, 0].set(False)
  assert task.sums(still, batch)['count'].tolist() == [1, 1]
  np.testing.assert_array_equal(np.argwhere(task.asked(batch))[:, 1], [0, 0])


def test_points_of_later_frames_are_asked_and_judged_from_there():
  batch = _batch()
  batch['tracks_visible'] = (
    batch['tracks_visible'].at[:, 1, :3].set(jnp.asarray([False, False, True]))
  )
  frames = np.zeros((2, 5), np.int32)
  frames[:, 1] = 2
  batch['query_frames'] = jnp.asarray(frames)
  task = recipes.task('points', query_frames=True)
  assert task.keys == ('tracks', 'tracks_visible', 'query_frames')
  assert task.head((6, 16, 24)).conditioning == 3
  asked = np.asarray(task.queries(batch))
  np.testing.assert_array_equal(asked[:, 1, :2], batch['tracks'][:, 1, 2])
  np.testing.assert_array_equal(asked[:, 0, :2], batch['tracks'][:, 0, 0])
  np.testing.assert_allclose(asked[:, :2, 2], [[0.5 / 6, 2.5 / 6]] * 2)
  assert not asked[:, 4, :2].any()  # padding
  # A head that is not told does not ask for what it cannot know.
  assert not recipes.task('points').asked(batch)[:, 1].any()
  assert task.asked(batch)[:, 1].all()

  # Wrong before the query: 'first' does not see it, 'strided' does.
  place, sure, _ = _truth(batch)
  sure = sure.at[:, 1, :2].multiply(-1)
  wrong = points.Tracks(place, sure, sure)
  first = _scores(task, wrong, batch)
  assert first['occlusion_accuracy'] == 1
  strided = recipes.task('points', query_frames=True, mode='strided')
  assert _scores(strided, wrong, batch)['occlusion_accuracy'] < 1
  still = task.trivial({}, batch)
  np.testing.assert_array_equal(still.place[:, 1, 5], batch['tracks'][:, 1, 2])


def test_a_causal_tracker_is_perfect_only_when_it_goes_both_ways():
  """One that is always right from its query on, and before says the start."""
  batch = _batch()
  batch['tracks_visible'] = jnp.ones_like(batch['tracks_visible'])
  frames = jnp.broadcast_to(jnp.arange(5), (2, 5))
  batch['query_frames'] = frames
  before = jnp.arange(6) < frames[..., None]
  place, sure, _ = _truth(batch)
  start = recipes.task('points', query_frames=True).start(batch)
  causal = jnp.where(before[..., None], start[:, :, None], place)
  answers = points.Tracks(causal, sure, sure)
  both_ways = points.Tracks(place, sure, sure)
  first, strided = (
    recipes.task('points', query_frames=True, mode=mode)
    for mode in ('first', 'strided')
  )
  assert _scores(first, answers, batch)['average_jaccard'] == 1
  assert _scores(strided, answers, batch)['average_jaccard'] < 0.9
  assert _scores(strided, both_ways, batch)['average_jaccard'] == 1


@pytest.mark.parametrize(
  ('mode', 'both_ways'), [('first', False), ('strided', True)]
)
def test_a_recurrent_head_answers_what_is_judged(mode, both_ways):
  """Other frames teach it nothing."""
  batch = _batch()
  batch['tracks_visible'] = jnp.ones_like(batch['tracks_visible'])
  batch['query_frames'] = jnp.full((2, 5), 3)
  task = points.make(
    **{'residual': False, 'certain_within': 6.0, 'query_frames': True},
    **{'mode': mode, 'unseen': 'no_value', 'readout': 'recurrent'},
    **{'width': 8, 'heads': 2, 'layers': 1, 'head_dim': 4, 'mlp': 8},
  )
  assert task.head((6, 16, 24)).both_ways == both_ways
  place, sure, _ = _truth(batch)

  def loss(place, sure):
    return task.loss(points.Tracks(place, sure, sure), batch).sum()

  for slope in jax.grad(loss, argnums=(0, 1))(place + 0.1, sure):
    assert slope[:, :, 3:].any()
    assert slope[:, :, :3].any() == both_ways


def test_pictures_show_answer_over_truth():
  batch, task = jax.device_get(_batch()), recipes.task('points')
  same = jax.device_get(_truth(jax.tree.map(jnp.asarray, batch)))
  ((name, clips),) = task.pictures(same, batch).items()
  assert name == 'points'
  assert clips.dtype == np.uint8
  assert clips.shape == (2, 6, 2 * 8 * 16, 8 * 24, 3)
  answer, truth = np.split(clips, 2, axis=2)
  np.testing.assert_array_equal(answer, truth)
  assert (truth != batch['video'].repeat(8, 2).repeat(8, 3)).any()


def test_clear_errors():
  assert isinstance(recipes.task('points', residual=True), points.Points)
  with pytest.raises(ValueError, match=r'certain_within=0.0 must be above 0'):
    recipes.task('points', certain_within=0.0)
  with pytest.raises(ValueError, match="mode 'last': expected one of"):
    recipes.task('points', mode='last')
