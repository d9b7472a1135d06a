"""What is shown of a sweep: while it goes on, and in the end."""

import csv
import json
import os
import time

import pytest

from base import files
from launch.sweep import board, results
from tests.launch.sweep import driver


def log(folder, **values):
  os.makedirs(folder, exist_ok=True)
  with open(f'{folder}/metrics.jsonl', 'a') as file:
    file.write(json.dumps(values) + '\n')


@pytest.fixture
def entries(tmp_path):
  """Done, half way for 20 s, failed, and not begun; of equal cost."""
  made = driver.entries(tmp_path, ['0'] * 4)
  done, half, failed, _ = made
  log(done.folder, **{'step': 40, 'train/loss': 0.5})
  log(done.folder, **{'step': 40, 'eval/loss': 0.75})
  done.state.done = {'train': 40.0, 'readouts/x': 30.0}
  half.starts()
  half.runs({'number': 0})
  half.began = time.monotonic() - 20.0
  log(half.folder, **{'step': 20, 'train/loss': 0.6})
  failed.state.failed = 'train: it ends with 1'
  return made


def test_the_time_left_is_that_of_what_is_left(entries):
  # 20 s for a half: 60 s for one and a half, and two readouts of 30 s.
  said = board.Board(entries, 2).headline()
  assert said == '1 of 4 runs done, 1 running, 1 failed, about 1m00s left'
  said = board.Board(entries, 1).headline()
  assert said.endswith('about 2m00s left')
  # What a readout takes is not known before one has ended.
  del entries[0].state.done['readouts/x']
  said = board.Board(entries, 1).headline()
  assert said.endswith('about 1m00s and 3 readouts left')


def test_nothing_is_foretold_where_nothing_is_known(entries, tmp_path):
  os.remove(f'{entries[1].folder}/metrics.jsonl')
  said = board.Board(entries, 1).headline()
  assert said == '1 of 4 runs done, 1 running, 1 failed'


def test_a_run_in_words(entries):
  rows = [board.row(entry) for entry in entries]
  states = [row['state'] for row in rows]
  assert states == ['done', 'runs', 'failed', 'waits']
  assert (rows[1]['step'], rows[1]['loss']) == ('20 of 40', '0.6000')
  # A line that is being written just now says nothing yet.
  with open(f'{entries[1].folder}/metrics.jsonl', 'a') as file:
    file.write('{"step": 30, "tra')
  assert board.row(entries[1])['step'] == '20 of 40'


def test_where_there_is_no_room_those_that_run_are_shown(entries, monkeypatch):
  monkeypatch.setenv('LINES', '6')
  _, *rows = board.Board(entries, 1).rows()
  assert [row.split()[0] for row in rows] == ['r1']


def test_the_table_has_the_numbers_of_the_runs_files(entries, tmp_path):
  tasks = {
    'depth': {
      'headline': ['abs_rel'],
      'metrics': {'abs_rel': {'value': 0.34567}},
    }
  }
  folder = f'{entries[0].folder}/readouts/x'
  os.makedirs(folder)
  files.write(f'{folder}/result.json', json.dumps({'tasks': tasks}))
  text = results.write(str(tmp_path), entries)
  with open(tmp_path / 'results.csv') as file:
    first, half, failed, _ = csv.DictReader(file)
  assert (first['train/loss'], first['eval/loss']) == ('0.5000', '0.7500')
  assert first['depth abs_rel'] == '0.3457'
  assert (half['state'], failed['state']) == ('open', 'failed')
  assert '0.3457' in text
  files.write(f'{folder}/result.json', '{"tasks": {"depth": {}}}')
  with pytest.raises(ValueError, match=r'result\.json: tasks: depth lacks'):
    results.write(str(tmp_path), entries)
