"""Wrong flags end in one line, as wrong input does."""

import subprocess
import sys

import pytest

COMMAND = """
import sys
sys.path.insert(0, '.')
from absl import flags
from ml_collections import config_flags
from base import command
config = config_flags.DEFINE_config_file('config', None, 'A recipe.')
command.run(lambda: print(config.value.optim.lr), required=['config'])
"""
RECIPE = """
import sys
sys.path.insert(0, '.')
from ml_collections import config_dict
from base.names import choose

def get_config(name):
  choose('size', name, ['small', 'large', 'wrong'])
  found = config_dict.create(optim={'lr': 0.1})
  found.model.depth if name == 'wrong' else None
  return found
"""


@pytest.fixture
def run(tmp_path):
  recipe = tmp_path / 'recipe.py'
  recipe.write_text(RECIPE)

  def made(name, *arguments):
    line = [sys.executable, '-c', COMMAND, f'--config={recipe}:{name}']
    return subprocess.run([*line, *arguments], capture_output=True, text=True)

  return made


@pytest.mark.parametrize(
  ('name', 'argument', 'message'),
  [
    ('huge', '--debug=false', "unknown size 'huge': expected one of small"),
    ('small', '--config.optim.lrr=3', "the recipe has no 'lrr' Did you mean"),
    ('small', '--config.optm.lr=3', "the recipe has no 'optm' Did you mean"),
    ('small', '--config.optim.lr=x', 'flag --config.optim.lr=x: could not'),
    ('small', '--cofnig=x', "Unknown command line flag 'cofnig'. Did you mean"),
  ],
)
def test_a_wrong_flag_ends_in_one_line(run, name, argument, message):
  done = run(name, argument)
  assert done.returncode == 1
  assert done.stderr.startswith(message)
  assert done.stderr.count('\n') == 1


def test_where_it_went_wrong_can_be_seen(run):
  assert 'Traceback' in run('huge', '--debug').stderr
  # A mistake in the recipe is none of who gives it an override.
  assert 'Traceback' in run('wrong').stderr
  assert run('small').stdout == '0.1\n'
