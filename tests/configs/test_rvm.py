"""The RVM recipes: each section fits the function that it is for."""

import pytest

from configs import rvm as recipe
from data import source
from models import objective, rvm, sizes
from train import optim


@pytest.mark.parametrize(
  'arg',
  [
    'data=world',
    *(f'data=my/videos,size={size}' for size in recipe.SIZES),
  ],
)
def test_sections_are_keyword_arguments(arg):
  config = recipe.get_config(arg).to_dict()
  assert isinstance(objective.make(**config['model']), rvm.RVM)
  optim.make(steps=config['steps'], **config['optim'])
  ((_, data),) = config['data']['sources'].items()
  assert 'video' in source.keys_of(data['name'])
  for key in ('frames', 'height', 'width'):
    assert data[key] == config['model'][key]


def test_videos_are_the_published_recipe():
  config = recipe.get_config('data=my/videos,size=large')
  assert (config.steps, config.data.batch_size) == (1_000_000, 2048)
  assert (config.optim.name, config.optim.schedule) == ('adamw', 'cosine')
  made = objective.make(**config.model.to_dict())
  assert made.encoder.backbone.size == sizes.SIZES['L']
  assert made.encoder.grid == (16, 16)
  assert (made.sources, made.targets, made.gap) == (4, 4, (4, 48))
  assert made.visible == 13  # of 256
  look = made.decoder.stack
  assert (look.layers, look.width, look.heads, look.mlp) == (8, 512, 16, 2048)
  assert made.core.stack.layers == 4


def test_a_size_that_is_not_published_is_told():
  with pytest.raises(ValueError, match='expected one of small, base, large'):
    recipe.get_config('size=giant')
