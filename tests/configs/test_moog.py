"""The MooG recipes: each section fits the function that it is for."""

import pytest

from configs import moog as recipe
from data import source
from models import moog, objective
from train import optim


@pytest.mark.parametrize(
  'arg',
  [
    'data=world',
    'data=world,layout=grid',
    'data=world,layout=grid_recurrent',
    'data=movi_e,path=there',
    'data=my/videos',
  ],
)
def test_sections_are_keyword_arguments(arg):
  config = recipe.get_config(arg).to_dict()
  assert isinstance(objective.make(**config['model']), moog.MooG)
  optim.make(steps=config['steps'], **config['optim'])
  ((_, data),) = config['data']['sources'].items()
  assert 'video' in source.keys_of(data['name'])
  for key in ('frames', 'height', 'width'):
    assert data[key] == config['model'][key]


def test_movi_is_the_published_recipe():
  config = recipe.get_config('data=movi_e,path=there')
  assert config.steps == 1_000_000
  assert config.data.batch_size == 128
  assert (config.model.height, config.model.width) == (128, 128)
  assert config.model.frames == 8
  wanted = {'lr': 1e-4, 'warmup_fraction': 1e-3, 'final_lr': 1e-7, 'b2': 0.95}
  wanted |= {'weight_decay': 1e-4, 'decay': ('.*',), 'clip_norm': 1.0}
  assert wanted.items() <= config.optim.to_dict().items()


def test_movi_needs_its_folder():
  with pytest.raises(ValueError, match='needs the folder'):
    recipe.get_config('data=movi_e')
