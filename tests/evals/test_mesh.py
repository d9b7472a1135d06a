"""A split's sums are the same on every mesh."""

import functools
import json

import jax
import numpy as np
import pytest

from configs import readout as recipes
from data import pipeline
from evals import score
from evals.resolve import resolve
from tests.evals.recipes import SILENT
from train import mesh as mesh_lib

SMALL = {'width': 16, 'heads': 2}


@pytest.fixture(
  scope='module',
  params=['attention', pytest.param('moog', marks=pytest.mark.slow)],
)
def scored(request, tiny_config, tmp_path_factory):
  """(facts, sums) of all tasks, by mesh, with the same parameters."""
  folder = tmp_path_factory.mktemp('run')
  config = tiny_config()
  (folder / 'config.json').write_text(json.dumps(config))
  tasks = 'all' if request.param == 'attention' else 'depth+points+boxes'
  recipe = recipes.get_config(
    f'task={tasks},data=world,head={request.param}'
  ).to_dict()
  recipe['data'] |= {'batch_size': 8, 'workers': 0}
  # The last batch holds three clips, and five that are read again.
  recipe['data']['sources']['world'] |= {'test_clips': 11}
  for options in recipe['tasks'].values():
    options |= {key: x for key, x in SMALL.items() if key in options}
  job = resolve(recipe, checkpoint=str(folder), random_init=True)
  objective = job.objective
  data = {**job.train['data'], 'shuffle': False}
  tests = pipeline.make(split='test', **data)
  (batch,) = next(tests.batches())
  init = functools.partial(objective.init, batch=batch)
  # Heads that have not learned answer all clips alike: make them differ.
  params = jax.tree.map(
    lambda x: np.asarray(x) * np.float32(1.5), jax.jit(init)(jax.random.key(0))
  )
  found = {}
  for name, mesh in (
    ('one', mesh_lib.make(fsdp=1, devices=jax.devices()[:1])),
    ('eight', mesh_lib.make(fsdp=4, tensor=2)),
  ):
    with mesh_lib.use(mesh):
      placed = jax.device_put(params, mesh_lib.params_shardings(mesh, params))
      known = pipeline.make(split='train', **job.labels)
      facts, _ = score.facts_of(objective, known, mesh, watchdog=SILENT)
      found[name] = (
        facts,
        score.run(
          *(objective, placed, facts, tests, mesh),
          watchdog=SILENT,
          split='test',
        ),
      )
  return found


@pytest.mark.parametrize(
  'task', ['depth', 'pose', 'points', 'boxes', 'classify']
)
def test_sums_of_each_clip_are_those_of_one_device(scored, task):
  """Within 1e-4 of each sum, and of 1 where it is smaller."""
  (facts, one), (other_facts, other) = scored['one'], scored['eight']
  if task not in facts:
    pytest.skip('MooG has no head of its own for this task')

  def check(got, want):
    assert len(want) > 1
    assert got.keys() == want.keys()
    for name, values in want.items():
      np.testing.assert_allclose(
        *(got[name], values), rtol=1e-4, atol=1e-4, err_msg=name
      )

  for kind in ('heads', 'trivial'):
    got, want = getattr(other, kind)[task], getattr(one, kind)[task]
    assert len(want['count']) == 11
    assert want['count'].any()
    check(got, want)
  for name, values in facts[task].items():
    np.testing.assert_allclose(other_facts[task][name], values, rtol=1e-4)


def test_pictures_and_what_is_left_out_are_those_of_one_device(scored):
  (facts, one), (_, other) = scored['one'], scored['eight']
  del facts
  assert one.left_out == other.left_out
  (answers, clips), (other_answers, other_clips) = one.first, other.first
  jax.tree.map(np.testing.assert_array_equal, other_clips, clips)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4),
    other_answers,
    answers,
  )
