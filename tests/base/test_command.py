"""How commands end: one line for what a person can mend, else a traceback."""

import errno
import json
import subprocess
import sys

import pytest

from base import command, exits
from tests import commands


def meant():
  raise ValueError('frames=0 must be\n  at least 1')


@pytest.fixture
def ended(capsys):
  """(exit code, stderr) of what a command does."""

  def end(function, *arguments):
    with pytest.raises(SystemExit) as end:
      command._in_one_line(function, *arguments)
    return end.value.code, capsys.readouterr().err

  return end


def test_an_error_that_was_meant_is_one_line(ended):
  line = 'frames=0 must be at least 1  (--debug shows where)\n'
  assert ended(meant) == (exits.WRONG, line)


def test_a_file_that_the_system_refuses_is_one_line(ended, tmp_path):
  code, said = ended(open, tmp_path / 'nowhere')
  assert code == exits.WRONG
  assert 'nowhere: No such file or directory' in said


def test_a_file_system_that_fails_is_no_wrong_input(ended):
  """A scheduler starts such a run again: the server may be back."""

  def read():
    raise OSError(errno.ESTALE, 'Stale file handle', 'data/shard')

  code, said = ended(read)
  assert code == exits.FAULT
  assert said.startswith('data/shard: Stale file handle')


def test_a_full_disk_is_told_with_what_to_do(ended):
  def full():
    raise OSError(errno.ENOSPC, 'No space left on device', 'run/config.json')

  code, said = ended(full)
  assert code == exits.WRONG
  assert said.startswith(
    'run/config.json: the disk is full: free some space, then run the same'
  )


@pytest.mark.parametrize(
  'mistake', [lambda: json.loads(''), lambda: int('x'), lambda: {}['key']]
)
def test_a_fault_of_the_program_shows_where(mistake):
  """A library's error, or one that a line of ours ran into, helps nobody."""
  with pytest.raises((ValueError, KeyError)):
    command._in_one_line(mistake)


def test_with_debug_all_errors_show_where(monkeypatch, ended):
  monkeypatch.setattr(sys, 'argv', ['command', '--debug'])
  code, said = ended(meant)
  assert code == exits.WRONG
  assert 'in meant' in said
  assert 'ValueError: frames=0' in said


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (
      ['train', '--config=configs/mae.py:size=Z', '--workdir=w'],
      'unknown size',
    ),
    # A recipe by a relative path refuses by itself, or a number of it is none.
    (
      ['train', '--config=configs/moog.py:data=movi_e', '--workdir=w'],
      'MOVi-E',
    ),
    (['train', '--config=configs/mae.py:steps=x', '--workdir=w'], 'type int'),
    (['train', '--config=configs/mea.py', '--workdir=w'], 'configs/mea.py: No'),
    (['train', '--config=configs/common.py', '--workdir=w'], 'is no recipe'),
    (['train', '--config=configs/quickstart.py'], '--workdir must be given'),
    (['train', 'configs/mae.py', '--workdir=w'], 'unexpected arguments'),
    (
      [
        'train',
        '--workdir=w',
        '--config=configs/readout.py:task=depth,data=world',
      ],
      'recipe without a model',
    ),
    (
      ['train', '--workdir=README.md', '--config=configs/quickstart.py'],
      '--workdir=README.md',
    ),
    (
      ['launch.local', '--join_sec=nan', '--', 'true'],
      'flag --join_sec=nan: expected a finite number',
    ),
    (
      ['launch.tpu', 'status', '--name=a', '--wait_hours=inf'],
      'flag --wait_hours=inf: expected a finite number',
    ),
    (['data.inspect', 'wrld'], "did you mean 'world'"),
    (['data.inspect', 'a', 'b'], "got ['a', 'b']  (--help lists the flags)"),
    (['evals.report', '--out=report', 'nowhere'], 'nowhere'),
  ],
)
def test_mistakes_of_users_end_in_one_line(arguments, message, tmp_path):
  done = commands.run(*arguments)
  assert done.returncode == 1
  assert message in done.stderr
  assert 'Traceback' not in done.stderr
  assert len(done.stderr.splitlines()) == 1


def test_an_empty_workdir_is_not_the_folder_one_is_in():
  done = commands.run(
    *('train', '--workdir=', '--config=configs/quickstart.py:steps=0')
  )
  assert (done.returncode, done.stderr) == (
    1,
    '--workdir must be given  (--help lists the flags)\n',
  )


COMMAND = """
import sys
sys.path.insert(0, '.')
from absl import flags
from ml_collections import config_flags
from base import command, exits
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
    (
      *('small', '--config.optim.lrr=3'),
      "the recipe has no 'lrr': did you mean 'lr'?\n",
    ),
    ('small', '--config.optm.lr=3', "the recipe has no 'optm': did you mean"),
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


ENDS = """
import sys, time
sys.path.insert(0, '.')
from base import command, exits
def main(words):
  print('said', end='')
  {leave}
  {what}
command.run(main, words='any', least=0)
"""


@pytest.mark.parametrize('leave', ['', 'command.leave_at_once()'])
@pytest.mark.parametrize(
  ('what', 'code'),
  [
    ('', 0),
    ("raise exits.Again('stopped')", 75),
    ("sys.exit('wrong')", 1),
    ('[][0]', 70),
    ("raise ValueError('a fault')", 70),  # raised by no line of this project
    ('raise KeyboardInterrupt', 130),
  ],
)
def test_the_code_says_whether_to_start_again(what, code, leave):
  """Also where the end is cut short: nothing that was printed is lost."""
  line = ENDS.format(what=what, leave=leave)
  done = subprocess.run(
    [sys.executable, '-c', line], capture_output=True, text=True
  )
  assert done.returncode == code, done.stderr
  assert done.stdout.startswith('said')


def test_a_process_that_leaves_at_once_waits_for_nobody():
  """As one of JAX's does for its peers, at a normal end."""
  hang = "import atexit; atexit.register(print, 'waited'); sys.exit('wrong')"
  line = ENDS.format(what=hang, leave='command.leave_at_once()')
  done = subprocess.run(
    [sys.executable, '-c', line], capture_output=True, text=True
  )
  assert (done.returncode, done.stdout) == (1, 'said')


def test_help_that_was_asked_for_is_no_error():
  done = subprocess.run(
    [sys.executable, '-m', 'train', '--help'], capture_output=True, text=True
  )
  assert done.returncode == 0
  assert '--workdir' in done.stdout


def test_words_of_another_command_ask_for_no_help_of_ours():
  """A launcher's job may have --help; that it failed is told."""
  line = ENDS.format(what="sys.exit('wrong')", leave='')
  done = subprocess.run(
    [sys.executable, '-c', line, '--', 'job', '--help'], capture_output=True
  )
  assert done.returncode == exits.WRONG
