"""What pods run is what the golden files say."""

import pathlib
import subprocess
import sys

import pytest

from launch.ladder import golden

FOLDER = pathlib.Path(__file__).parent / 'golden'


@pytest.mark.parametrize('name', golden.SHARDINGS)
def test_parameters_lie_as_they_did(name):
  expected = golden.path_of(FOLDER, name).read_text()
  changed = golden.difference(name, expected, golden.make(name))
  assert not changed, changed


@pytest.mark.slow
@pytest.mark.parametrize('name', golden.PROGRAMS)
def test_programs_send_what_they_did(name, tmp_path, tpu_compiler):
  expected = golden.path_of(FOLDER, name).read_text()
  compiler, _, _ = expected.partition('\n')
  if compiler != golden.versions():
    pytest.skip(f'made with {compiler}, here is {golden.versions()}')
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'launch.ladder.golden'),
      *(f'--files={name}', f'--into={tmp_path}'),
    ],
    capture_output=True,
    text=True,
  )
  assert not done.returncode, done.stderr
  got = golden.path_of(tmp_path, name).read_text()
  changed = golden.difference(name, expected, got)
  assert not changed, changed


def test_collectives_of_a_sort_are_one_line():
  each = {'kind': 'all-gather', 'axes': 'fsdp', 'shape': 'bf16[8,4]'}
  each |= {'async': True, 'count': 2.0, 'bytes': 128.0}
  rows = [each, {**each, 'async': False}, {**each, 'count': 3}]
  text = golden.collectives({'collectives': rows, 'warnings': ['bad']})
  assert text.splitlines() == [
    golden.versions(),
    'all-gather over fsdp of bf16[8,4], ahead: 5 times, 256 bytes',
    'all-gather over fsdp of bf16[8,4], in place: 2 times, 128 bytes',
    'warning: bad',
  ]


def test_the_error_names_what_changed_and_the_command():
  before = 'a [2] [-]\nb [3,4] [fsdp,-]\nb [3,4] [fsdp,-]\n'
  assert golden.difference('sharding-S', before, before) == ''
  after = 'a [2] [-]\nb [3,4] [fsdp,-]\nc [3,4] [-,fsdp]\n'
  assert golden.difference('sharding-S', before, after).splitlines() == [
    'sharding-S has changed:',
    '- b [3,4] [fsdp,-]',
    '+ c [3,4] [-,fsdp]',
    'if pods shall run that, `python -m launch.ladder.golden '
    '--files=sharding-S` and commit it',
  ]


def test_an_unknown_name_is_refused():
  with pytest.raises(
    ValueError, match=r"unknown golden file 'sharding-s': expected one of"
  ):
    golden.make('sharding-s')


def test_no_file_is_left_of_what_is_no_longer_made():
  names = {path.stem for path in FOLDER.iterdir()}
  assert names <= {*golden.SHARDINGS, *golden.PROGRAMS}
