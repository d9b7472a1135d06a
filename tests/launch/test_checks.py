"""Runs can work, and what they cost is known, before any starts."""

import pytest

from configs.sweeps import scaling, world
from launch import checks, job, overrides
from launch.sweep import runs

# ml_collections loads a recipe by it.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')


def costs(*flags, readouts=()):
  """Of runs in this process, which has JAX already."""
  resolved = {
    f'{n}': overrides.resolved(words) for n, words in enumerate(flags)
  }
  found = checks._all(resolved, [overrides.resolved(x) for x in readouts], 0)
  return list(found.values())


@pytest.mark.parametrize(
  ('path', 'sweep', 'stated', 'option'),
  [
    ('configs/sweeps/scaling.py', '', scaling.FLOPS, 'size'),
    ('configs/sweeps/world.py', 'ladder', world.FLOPS, 'dim'),
    ('configs/sweeps/world.py', 'methods', world.METHODS, 'name'),
  ],
)
def test_flops_of_a_clip_are_those_that_the_model_counts(
  path, sweep, stated, option
):
  for item in runs.read(path, sweep):
    config = overrides.resolved(item.flags('DIR'))
    (cost,) = costs(item.flags('DIR'))
    per_clip = cost.flops / config['steps'] / config['data']['batch_size']
    assert per_clip == pytest.approx(stated[config['model'][option]], rel=1e-3)


def test_budgets_are_spent():
  for item in runs.read('configs/sweeps/scaling.py', 'iso_flops'):
    (cost,) = costs(item.flags('DIR'))
    assert cost.flops == pytest.approx(float(item.name.split('_')[0]), rel=1e-3)


QUICK = '--config=configs/quickstart.py:steps=3'


@pytest.mark.parametrize(
  ('override', 'why'),
  [
    ('--config.model.heads=3', 'heads must divide width'),
    ('--config.model.mask=randm', 'mask'),
    ('--config.optim.schedule=cosin', 'cosin'),
    ('--config.step.accumulate=3', 'accumulate'),
  ],
)
def test_what_cannot_work_is_told(override, why):
  good, bad = costs([QUICK], [QUICK, override])
  assert good.parameters > 1e5
  assert why in bad


def test_a_readout_that_does_not_fit_is_told():
  depth = '--config=configs/readout.py:task=depth,data=world'
  (good,) = costs([QUICK], readouts=[[depth]])
  assert good.flops > 0
  wrong = '--config.tasks.depth.readout=atention'
  (bad,) = costs([QUICK], readouts=[[depth, wrong]])
  assert "did you mean 'attention'" in bad


def test_the_run_that_cannot_work_is_named():
  """In the process of its own."""
  bad = overrides.resolved([QUICK, '--config.model.heads=3'])
  with pytest.raises(ValueError, match='run mine: heads must divide width'):
    checks.costs({'mine': bad}, [])


def test_a_job_is_refused_that_its_devices_cannot_do():
  def line(*words, devices=8):
    return checks.of_job(job.parse(words, one_disk=True), devices)

  train = ('python', '-m', 'train', '--workdir=w')
  assert ' parameters, ' in line(*train, QUICK)
  with pytest.raises(ValueError, match='devices') as told:
    line(*train, QUICK, '--config.mesh.fsdp=3')
  assert '\n' not in str(told.value)
  # As a person may type it.
  words = ('--config', 'configs/quickstart.py:steps=3', '--config.seed=1')
  assert ' in 3 steps' in line(*train, *words)
  evals = ('python', '-m', 'evals', '--workdir=w')
  depth = '--config=configs/readout.py:task=depth,data=world'
  assert line(*evals, depth) == ''
  with pytest.raises(ValueError, match="did you mean 'seed'"):
    line(*evals, depth, '--config.sead=3')
  assert line('sh', '-c', 'true') == ''
