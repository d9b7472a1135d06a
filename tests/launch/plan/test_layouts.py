"""Layouts that were found are kept, and recipes take them by name."""

import json

import pytest

from configs import common, mae, moog
from launch.plan import layouts
from launch.plan.search.candidates import Candidate, candidates
from launch.plan.topology import parse


@pytest.fixture
def kept(tmp_path, monkeypatch):
  path = tmp_path / 'layouts.json'
  path.write_text('{}')
  monkeypatch.setattr(common, 'LAYOUTS', path)
  return path


def test_what_is_saved_is_what_the_recipe_then_has(kept):
  config = mae.get_config('size=L,batch_size=512').to_dict()
  config['compile']['options'] = {'xla_a': True}
  best = candidates(config, parse('v5e:4x4'))[0][0]
  layouts.save(layouts.recipe_of(config), 'v5e:4x4', best)
  taken = mae.get_config('size=L,topology=v5e:4x4').to_dict()
  for section in ('mesh', 'step', 'model', 'compile'):
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


def test_a_damaged_file_names_itself_and_is_left_as_it_is(kept):
  kept.write_text('{"mae.L": ')
  config = mae.get_config('size=L').to_dict()
  candidate = Candidate({}, config, memory=None, seconds=1.0)
  with pytest.raises(ValueError, match=r'layouts\.json is not JSON.*from git'):
    layouts.save('mae.L', 'v5e:4x4', candidate)
  assert kept.read_text() == '{"mae.L": '
  with pytest.raises(ValueError, match=r'layouts\.json is not JSON.*from git'):
    mae.get_config('size=L,topology=v5e:4x4')


@pytest.mark.parametrize('data', ['movi_e,path=x', 'my/videos'])
def test_moog_has_layouts_of_each_of_its_recipes(kept, data):
  config = moog.get_config(f'data={data},batch_size=64').to_dict()
  changes = {'mesh.replica': 4, 'mesh.fsdp': 4, 'model.remat': 'named'}
  changed = common.with_changes(config, changes)
  candidate = Candidate(changes, changed, memory=None, seconds=1.0)
  layouts.save(layouts.recipe_of(config), 'v5e:4x4', candidate)
  assert moog.get_config(f'data={data},topology=v5e:4x4').to_dict() == changed
  with pytest.raises(ValueError, match=r'no layout of moog\.world'):
    moog.get_config('topology=v5e:4x4')


def test_what_search_writes_is_what_is_in_the_repository(tmp_path, monkeypatch):
  path, before = tmp_path / 'layouts.json', common.LAYOUTS.read_text()
  path.write_text(before)
  monkeypatch.setattr(common, 'LAYOUTS', path)
  (topology, changes), *_ = json.loads(before)['mae.j'].items()
  config = mae.get_config(f'size=j,topology={topology}').to_dict()
  candidate = Candidate(changes, config, memory=None, seconds=1.0)
  layouts.save('mae.j', topology, candidate)
  assert path.read_text() == before


def test_a_recipe_without_names_for_layouts_is_refused():
  backbone = mae.get_config('size=S').to_dict()
  with pytest.raises(ValueError, match='a recipe of readouts: leave out'):
    layouts.recipe_of(backbone | {'tasks': {}})
  with pytest.raises(ValueError, match='a recipe of distill: leave out'):
    layouts.recipe_of({'model': {'name': 'distill'}})
