"""Drills: what each finds is told, and fails where it must."""

import pytest

from launch import marked
from launch.drill import play, report
from tests import commands


def drill(*words):
  return commands.run('launch.drill', *words)


def test_an_unknown_drill_is_one_line():
  run = drill('locall')
  assert run.returncode == 1
  assert "did you mean 'local'?" in run.stderr


def test_what_is_not_as_promised_fails():
  with pytest.raises(ValueError, match='it is done; found 75'):
    play.check('it is done', False, 75)
  with pytest.raises(ValueError, match='step 3: not so after 0 s'):
    play.wait('step 3', lambda: False, 0.2)


def test_what_was_found_is_written_where_it_belongs():
  rows = [{'tried': 'a bit', 'seconds': '1.0'}, {'tried': 'a file'}]
  results = [
    report.Result('damage', 3, 61.2, rows),
    report.Result('local', 1, 2.0, wrong='found 75'),
    report.Result('slurm', lacks='no srun'),
  ]
  assert f'{results[1]}' == 'drill local: 1 checks, 2s, wrong: found 75'
  with open('docs/reliability.md') as file:
    text = file.read()
  written = marked.put(text, report.text(results), report.BEGIN)
  for line in (
    '| `python -m launch.drill damage` | 3 | right | 1m01s |',
    '| `python -m launch.drill local` | 1 | **wrong**: found 75 | 2s |',
    '| `python -m launch.drill slurm` | 0 | not played: no srun | 0s |',
    '| tried | seconds |',
    '| a file |  |',
  ):
    assert line in written.splitlines()
  assert written.startswith(text.partition(report.BEGIN)[0])
  # What is played later is told beside it, and in its place.
  results = [
    report.Result('local', 4, 5.0),
    report.Result('kills', 2, 3.0, [{'killed in': 'a step'}]),
  ]
  later = marked.put(written, report.text(results, written), report.BEGIN)
  told = later.partition(report.BEGIN)[2]
  order = [
    *('launch.drill damage` | 3 |', 'launch.drill kills` | 2 | right'),
    *('launch.drill local` | 4 | right', 'launch.drill slurm` | 0 |'),
    *('## damage', '| a bit | 1.0 |', '## kills', '| a step |'),
  ]
  places = [told.index(each) for each in order]
  assert places == sorted(places)
  assert 'found 75' not in told
