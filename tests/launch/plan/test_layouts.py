"""Layouts that were found are kept, and recipes take them by name."""

import json

import pytest

from configs import common, mae
from launch.plan import layouts, search
from launch.plan.topology import parse


@pytest.fixture
def kept(tmp_path, monkeypatch):
  path = tmp_path / 'layouts.json'
  path.write_text('{}')
  monkeypatch.setattr(common, 'LAYOUTS', path)
  return path


def test_what_is_saved_is_what_the_recipe_then_has(kept):
  config = mae.get_config('size=L,batch_size=512').to_dict()
  best = search.candidates(config, parse('v5e:4x4'))[0][0]
  layouts.save(layouts.recipe_of(config), 'v5e:4x4', best)
  taken = mae.get_config('size=L,topology=v5e:4x4').to_dict()
  for section in ('mesh', 'step', 'model'):
    assert taken[section] == best.config[section]
  assert taken['data']['batch_size'] == 512
  # What is given counts for more.
  other = mae.get_config('size=L,topology=v5e:4x4,batch_size=1024')
  assert other.data.batch_size == 1024
  # Another one does not drive it out.
  layouts.save('mae.L', 'v5e:8x8', best)
  assert set(json.loads(kept.read_text())['mae.L']) == {'v5e:4x4', 'v5e:8x8'}


def test_an_unknown_slice_names_those_that_are_known(kept):
  kept.write_text(json.dumps({'mae.j': {'v5p:8x8x8': {}}}))
  with pytest.raises(ValueError, match=r'known are v5p:8x8x8\. Look for one'):
    mae.get_config('size=j,topology=v5p:4x4x4')


def test_layouts_in_the_repository_suit_their_slices():
  for recipe, known in json.loads(common.LAYOUTS.read_text()).items():
    for topology in known:
      size = recipe.removeprefix('mae.')
      config = mae.get_config(f'size={size},topology={topology}')
      chips = parse(topology).chips
      assert (
        config.mesh.replica * config.mesh.fsdp * config.mesh.tensor == chips
      )
      shards = config.mesh.replica * config.mesh.fsdp * config.step.accumulate
      assert config.data.batch_size % shards == 0


def test_a_recipe_without_names_for_layouts_is_refused():
  with pytest.raises(ValueError, match=r'configs/moog\.py takes no topology'):
    layouts.recipe_of({'model': {'name': 'moog'}})
