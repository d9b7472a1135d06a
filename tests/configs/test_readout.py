"""The readout recipe: each section fits the function that it is for."""

import inspect

import pytest

from configs import readout as recipe
from evals import readout, task
from train import optim


@pytest.mark.parametrize('name', recipe.RECIPES)
def test_sections_are_keyword_arguments(name):
  config = recipe.get_config(f'recipe={name}').to_dict()
  made = task.make(**config['task'])
  inspect.signature(readout.make).bind(
    backbone=None, task=made, **config['head']
  )
  optim.make(steps=config['steps'], **config['optim'])
  assert config['step']['freeze'] == ('backbone/.*',)


def test_paper_protocol():
  config = recipe.get_config('data=scannet,lr=1e-4')
  assert config.steps * config.data.batch_size == 1_280_000
  assert (config.optim.lr, config.optim.final_lr) == (1e-4, 1e-7)
  assert (config.optim.warmup_steps, config.optim.clip_norm) == (1000, 0)
  assert (config.head.width, config.head.heads) == (1024, 16)
  assert config.data.sources.scannet.name == 'scannet'


def test_the_built_in_world_is_for_a_laptop():
  config = recipe.get_config('task=depth,data=world,seed=4,steps=9')
  assert config.head.width == 128
  assert (config.seed, config.data.seed, config.steps) == (4, 4, 9)


def test_clear_errors():
  with pytest.raises(ValueError, match="did you mean 'depth'"):
    recipe.get_config('task=depht')
  with pytest.raises(ValueError, match='must be one of paper, laptop'):
    recipe.get_config('recipe=desktop')
  with pytest.raises(ValueError, match="did you mean 'task'"):
    recipe.get_config('tsk=depth')
