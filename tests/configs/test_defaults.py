"""No function has a default that every recipe overrides.

An edit of such a one would do nothing, and nobody would be told.
"""

import importlib
import inspect
from collections import defaultdict

import pytest

from configs import distill, mae, moog, quickstart, readout, rvm
from data import pipeline
from evals import readout as readout_objective
from models import vit
from train import optim, step
from train.checkpoint import Checkpoints
from train.evaluate import Evaluation
from train.watchdog import Watchdog
from train.writer import Writer

SOURCES = (
  *('movi', 'scannet', 'tapvid', 're10k', 'waymo', 'perception_test'),
  *('ssv2', 'kinetics'),
)


def _recipes():
  for size in mae.RECIPES:
    for data in ('world', 'DATA'):
      yield mae.get_config(f'size={size},data={data}')
  for argument in ('data=world', 'data=movi_e,path=MOVI', 'data=DATA'):
    yield moog.get_config(argument)
  for argument in ('data=world', 'data=DATA'):
    yield rvm.get_config(argument)
  for argument in ('data=world', 'data=DATA,teacher=FILE'):
    yield distill.get_config(argument)
  yield quickstart.get_config()
  sources = [f'{name},data.path=DIR' for name in SOURCES]
  for recipe in readout.RECIPES:
    for data in ('world', *sources):
      for head in ('task=all', 'task=depth+points+boxes,head=moog'):
        yield readout.get_config(f'{head},data={data},recipe={recipe}')


def _given(config):
  """(function, options that a recipe gives it) of a config's sections."""
  yield optim.make, config['optim']
  yield step.make_train_step, config['step']
  yield Checkpoints, config['checkpoint']
  yield Evaluation, config['eval']
  yield Writer, config['log']
  yield Watchdog, config['watchdog']
  yield pipeline.make, config['data']
  for source in config['data']['sources'].values():
    module = importlib.import_module(f'data.sources.{source["name"]}')
    yield module.make, {**source, 'keys': config['data']['keys']}
  if 'tasks' in config:
    yield readout_objective.make, config['features']
  for task, options in config.get('tasks', {}).items():
    yield importlib.import_module(f'evals.tasks.{task}').make, options
  if 'model' in config:
    model = config['model']
    yield importlib.import_module(f'models.{model["name"]}').make, model
    for part in ('student', 'teacher'):
      if part in model:
        yield vit.backbone, model[part]


@pytest.fixture(scope='module')
def given():
  """Of each function, the options that each recipe gives it."""
  found = defaultdict(list)
  for recipe in _recipes():
    for function, options in _given(recipe.to_dict()):
      found[function].append(set(options))
  return found


def test_no_default_is_dead(given):
  assert len(given) > 20
  for function, options in given.items():
    always = set.intersection(*options)
    parameters = inspect.signature(function).parameters
    dead = [
      name
      for name in always & set(parameters)
      if parameters[name].default is not inspect.Parameter.empty
    ]
    assert not dead, f'{function}: every recipe gives {dead}'
