import json
import os
import socket
import subprocess
import sys

import pytest

from base import files
from train import workdir


def test_a_folder_with_nothing_in_it_is_settled_anew(tmp_path, capsys):
  workdir.settle(str(tmp_path), {'a': 1})
  workdir.settle(str(tmp_path), {'a': 2})
  assert json.loads((tmp_path / 'config.json').read_text()) == {'a': 2}
  assert 'a: 1 there, 2 now), which saved nothing' in capsys.readouterr().out
  # An unfinished write is no checkpoint.
  (tmp_path / 'checkpoints/3.orbax-checkpoint-tmp').mkdir(parents=True)
  workdir.settle(str(tmp_path), {'a': 3})
  with pytest.raises(ValueError, match=r'another config .a: 3 there, 4 now'):
    workdir.settle(str(tmp_path), {'a': 4}, anew=False)
  (tmp_path / 'result.json').touch()
  with pytest.raises(ValueError, match=r'another config .a: 3 there, 4 now'):
    workdir.settle(str(tmp_path), {'a': 4})
  (tmp_path / 'result.json').unlink()
  (tmp_path / 'checkpoints/3').mkdir()
  with pytest.raises(ValueError, match=r'another config .a: 3 there, 4 now'):
    workdir.settle(str(tmp_path), {'a': 4})
  workdir.settle(str(tmp_path), {'a': 3})


@pytest.mark.parametrize(
  ('content', 'what'),
  [('', 'empty'), ('{"a": 1', 'not JSON'), ('[1]', 'a list'), ('\xff', 'JSON')],
)
def test_a_damaged_config_names_itself(tmp_path, content, what):
  (tmp_path / 'config.json').write_bytes(content.encode('latin1'))
  with pytest.raises(ValueError, match=rf'config\.json .*{what}.* remove it'):
    workdir.settle(str(tmp_path), {'a': 1})


HOLDER = """
import sys
from base import files
from train import workdir
with workdir.claim(sys.argv[1], {'a': 1}):
  print('there', flush=True)
  sys.stdin.read()
"""


def test_a_folder_that_another_process_runs_in_is_refused(tmp_path):
  """Also with the same config: two runs would write one metrics file."""
  other = subprocess.Popen(
    [sys.executable, '-c', HOLDER, str(tmp_path)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  with other:
    assert other.stdout.readline() == 'there\n'
    who = f'process {other.pid} of {socket.gethostname()}'
    for config in ({'a': 1}, {'a': 2}):
      with (
        pytest.raises(ValueError, match=f'in use by {who}'),
        workdir.claim(str(tmp_path), config),
      ):
        pass
    other.stdin.close()
  with workdir.claim(str(tmp_path), {'a': 1}):
    pass


def test_a_claim_holds_until_its_end_and_may_be_made_again_inside(tmp_path):
  """A readout job claims its folder, and the training run in it does."""
  refused = [
    *(sys.executable, '-c', HOLDER, str(tmp_path)),
  ]
  with workdir.claim(str(tmp_path), {'a': 1}):
    with workdir.claim(str(tmp_path), {'a': 1}):
      pass
    done = subprocess.run(refused, capture_output=True, text=True)
    assert f'in use by process {os.getpid()} of' in done.stderr


def test_what_a_killed_run_was_writing_is_removed(tmp_path):
  draft = files.replacing(tmp_path / 'goodput.json')
  draft.__enter__().write_text('half')  # and here it is killed
  with workdir.claim(str(tmp_path), {'a': 1}):
    left = {each.name for each in tmp_path.iterdir()}
  assert left == {'claim', 'config.json'}
