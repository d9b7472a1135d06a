"""What holds for every task: the seam, several heads, stray queries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.sources.world import source as world
from evals import task as task_lib
from tests.evals import recipes

CLIP = 4, 16, 24
OPTIONS = {'width': 32, 'heads': 2}
OWN = {'classify': {'classes': 16}}


READER = {'layers': 1, 'heads': 2, 'head_dim': 8, 'mlp': 16}
# MooG's own heads.
MOOG = {
  'boxes': {**READER, 'width': 16, 'readout': 'recurrent'},
  'depth': {**READER, 'readout': 'dense'},
  'points': {**READER, 'width': 16, 'readout': 'recurrent'},
}


def _make(name, options=OPTIONS):
  return recipes.task(name, **options, **OWN.get(name, {}))


@pytest.fixture(scope='module')
def batch():
  """Three clips of the world, with all labels."""
  frames, height, width = CLIP
  source = world.make(
    'train',
    **{'frames': frames, 'height': height, 'width': width, 'points': 7},
    keys=world.KEYS,
    cache='',
  )
  rng = np.random.default_rng(0)
  clips = [source.read(index, rng) for index in range(3)]
  return {
    key: jnp.asarray(np.stack([clip[key] for clip in clips]))
    for key in clips[0]
  }


@pytest.mark.parametrize(
  ('name', 'options'),
  [*((name, OPTIONS) for name in task_lib.names()), *MOOG.items()],
)
def test_every_task_trains_scores_and_draws_the_world(name, options, batch):
  task = _make(name, options)
  assert isinstance(task, task_lib.Task)
  assert task.name == name
  head, asked = task.head(CLIP), task.queries(batch)
  tokens = jax.random.normal(jax.random.key(0), (3, 2, 6, 8))

  @jax.jit
  @jax.value_and_grad
  def loss_of(params):
    answer = task.predict(head.apply(params, tokens, asked), batch)
    return jnp.mean(task.loss(answer, batch))

  @jax.jit
  @jax.vmap
  def sums_of(params):
    answer = task.predict(head.apply(params, tokens, asked), batch)
    return answer, task.sums(answer, batch)

  params = jax.jit(head.init)(jax.random.key(1), tokens, asked)
  before, slope = loss_of(params)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))
  norm = sum(jnp.sum(x**2) for x in jax.tree.leaves(slope)) ** 0.5
  lower = jax.tree.map(lambda x, g: x - 1e-3 * g / norm, params, slope)
  assert loss_of(lower)[0] < before

  # Heads side by side, as readouts train them.
  heads = jax.tree.map(lambda *x: jnp.stack(x), params, lower)
  answers, sums = sums_of(heads)
  assert all(values.shape == (2, 3) for values in sums.values())
  added = jax.tree.map(lambda x: np.asarray(x).sum(1), sums)
  scores = task.scores(added)
  assert set(task.headline) <= set(scores)
  assert all(score.shape == (2,) for score in scores.values())

  @jax.jit
  def without_looking(batch):
    labels = {key: batch[key] for key in task.keys}  # training has no more
    facts = jax.tree.map(lambda x: x.sum(0), task.facts(labels))
    answer = task.trivial(facts, batch)
    return answer, task.sums(answer, batch)

  trivial, sums = without_looking(batch)
  one = jax.tree.map(lambda x: x[0], answers)
  assert jax.tree.map(jnp.shape, trivial) == jax.tree.map(jnp.shape, one)
  floor = jax.tree.map(lambda x: np.asarray(x).sum(0), sums)
  assert np.isfinite(task.scores(floor)[task.headline[0]])

  drawn = task.pictures(*jax.device_get((one, batch)))
  for clips in drawn.values():
    assert clips.dtype == np.uint8
    assert clips.shape[:2] == (3, CLIP[0])
