"""What recipes leave open is reached from the command line."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

from configs import distill, mae, moog, quickstart, readout, rvm
from data import mixture, source
from data.sources import videos
from evals.tasks import boxes, classify, depth, points, pose
from models import mae as mae_lib
from models import objective
from tests.models.recipes import ENCODERS
from train.checkpoint import Checkpoints

# Of ml_collections, which loads recipes in an old way.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')


@pytest.fixture
def given(monkeypatch):
  """A function: the config that a command with these arguments gets."""

  def parse(*arguments):
    # Overrides are looked for there, not among what is parsed.
    monkeypatch.setattr('sys.argv', ['command', *arguments])
    values = flags.FlagValues()
    config_flags.DEFINE_config_file('config', flag_values=values)
    values(['command', *arguments])
    return values.config.to_dict()

  return parse


def keywords(function):
  return {
    key
    for key, each in inspect.signature(function).parameters.items()
    if each.kind is inspect.Parameter.KEYWORD_ONLY
  }


def test_options_of_sources_are_part_of_the_argument(given):
  config = given(
    '--config=configs/readout.py:task=depth,data=movi,data.path=/a=b,'
    'data.stride=1+2,test=scannet,test.path=/c,test.clips=3',
    '--config.data.sources.movi.stride=2+2',
  )
  assert config['data']['sources'] == {
    'movi': {'name': 'movi', 'weight': 1.0, 'path': '/a=b', 'stride': '2+2'}
  }
  assert config['test_sources'] == {
    'scannet': {'name': 'scannet', 'weight': 1.0, 'path': '/c', 'clips': '3'}
  }
  config = mae.get_config('data=world,data.clips=9').to_dict()
  assert config['data']['sources']['train']['clips'] == '9'


def test_commands_of_the_docs_name_options_that_there_are():
  text = (Path(__file__).parents[2] / 'docs' / 'evals.md').read_text()
  commands = re.findall(r'^--config=configs/readout\.py:(\S+)$', text, re.M)
  named = set()
  for command in commands:
    config = readout.get_config(command).to_dict()
    for sources in (config['data']['sources'], config['test_sources']):
      for name, options in sources.items():
        del options['name'], options['weight']
        assert source.typed(name, options).keys() == options.keys()
        assert name == 'world' or 'path' in options
        named.add(name)
  # All sources with labels.
  rows = re.findall(r'^\| (`\w+`(?:, `\w+`)*) \| .* \| .* \|$', text, re.M)
  rows = {name for row in rows for name in re.findall(r'\w+', row)}
  # Those of evals.propagate have no readouts.
  assert named == rows - {'videos', 'davis'}
  assert len(named) == 11


def test_the_mixture_of_the_docs_is_a_recipe(given, tmp_path):
  text = (Path(__file__).parents[2] / 'docs' / 'data.md').read_text()
  (recipe,) = re.findall(r'^```python\n(.*?)^```$', text, re.M | re.S)
  file = tmp_path / 'mixed.py'
  file.write_text(recipe)
  (command,) = re.findall(r'--config=mixed\.py:(.*) --workdir=RUN', text)
  argument, *changes = command.split()
  data = given(f'--config={file}:{argument}', *changes)['data']
  weights = [each['weight'] for each in data['sources'].values()]
  assert mixture.counts(weights, data['batch_size']) == [14, 2]
  assert 'of 16, 14 and 2' in ' '.join(text.split())
  clips = {
    (each['frames'], each['height'], each['width'])
    for each in data['sources'].values()
  }
  assert clips == {(16, 64, 64)}


def test_every_option_of_what_recipes_name_can_be_overridden(given):
  config = given(
    '--config=configs/mae.py:data=DIR',
    '--config.model.dim=96',
    '--config.checkpoint.keep_every=500',
    '--config.data.sources.train.window=middle',
  )
  assert config['model']['dim'] == 96
  assert config['model']['mlp'] is None  # the size's own
  assert config['checkpoint']['keep_every'] == 500
  assert keywords(mae_lib.make) == config['model'].keys() - {'name'}
  assert keywords(Checkpoints.__init__) == config['checkpoint'].keys()
  options = config['data']['sources']['train']
  assert options['window'] == 'middle'
  assert keywords(videos.make) - {'keys'} == options.keys() - {'name', 'weight'}
  heads = {'width', 'heads', 'query_std', 'dtype', 'attention'}
  for recipe in readout.RECIPES:
    tasks = readout.get_config(f'task=all,recipe={recipe}').tasks.to_dict()
    for module in (boxes, classify, depth, points, pose):
      options = tasks[module.__name__.rpartition('.')[2]]
      assert options.keys() == keywords(module.make) | heads


def test_no_default_of_an_objective_is_dead():
  """What every recipe says is said there alone: an edit elsewhere is lost."""
  recipes = {
    'mae': [mae.get_config(), quickstart.get_config()],
    'moog': [moog.get_config(f'data={x},path=-') for x in moog.RECIPES],
    'rvm': [rvm.get_config(x) for x in ('', 'data=-')],
    'distill': [distill.get_config(x) for x in ('', 'data=-,teacher=-')],
  }
  # Others' encoders have none: their files say all of it.
  assert sorted([*recipes, *ENCODERS]) == objective.names()
  for name, configs in recipes.items():
    make = importlib.import_module(f'models.{name}').make
    for key, each in inspect.signature(make).parameters.items():
      if each.default not in (each.empty, None):
        assert any(key not in config.model for config in configs), key


def test_a_layouts_compiler_options_can_be_overridden(given):
  recipe = '--config=configs/mae.py:size=j,topology=v5p:8x8x8'
  options = given(recipe)['compile']['options']
  name = 'xla_tpu_enable_ici_rs_pipelining'
  assert options[name] is True
  changed = given(recipe, f'--config.compile.options.{name}=False')
  assert changed['compile']['options'] == {**options, name: False}


def test_mistakes_are_told():
  with pytest.raises(ValueError, match=r'test\.path are of no source'):
    readout.get_config('data=world,test.path=x')
  with pytest.raises(ValueError, match=r"'data\.name' is not an option"):
    readout.get_config('data=world,data.name=x')
  with pytest.raises(ValueError, match=r"unknown .*'dta\.path'"):
    readout.get_config('data=movi,dta.path=x')
