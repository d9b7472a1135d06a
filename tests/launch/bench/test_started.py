"""Starts of two checkouts, as the command compares them."""

import subprocess
import sys

import pytest

from launch.bench.started import starts

# A run that says where its folder and programs are, and is slow where neither
# is there: what it is given instead of a whole one.
RUN = """
import pathlib, re, signal, sys, time
words = dict(word.lstrip('-').partition('=')[::2] for word in sys.argv[1:])
folders = [pathlib.Path(words[n]) for n in ('workdir', 'compilation_cache')]
new = [not folder.exists() for folder in folders]
for folder in folders:
  folder.mkdir(parents=True, exist_ok=True)
(folders[0] / words['config.seed']).touch()
for _ in range(WAITS * sum(new)):
  time.sleep(0.2)
print('a line of something else')
print(f'start-up 1.0 s:  new {new}', flush=True)
signal.pause()
"""


def checkout(folder, waits):
  (folder / 'train').mkdir(parents=True)
  run = RUN.replace('WAITS', str(waits))
  (folder / 'train' / '__main__.py').write_text(run)
  return folder


def test_every_start_finds_what_its_name_says(tmp_path):
  checkouts = {
    'here': checkout(tmp_path / 'here', 0),
    'there': checkout(tmp_path / 'there', 1),
  }
  table = starts.compare(checkouts, ['--config.seed=3'], 1)
  _, new, again, restart, warm = table.splitlines()
  for line, begins, ends in (
    (new, 'new run  nothing compiled', 'new [True, True]'),
    (again, 'new run  compiled before', 'new [True, False]'),
    (restart, 'restart  nothing compiled', 'new [False, True]'),
    (warm, 'restart  compiled before', 'new [False, False]'),
  ):
    assert line.startswith(begins)
    assert line.endswith(ends)
  ratio = new.split('new [')[0].split()[-1]
  assert float(ratio) < 1  # it waits twice there


def test_what_is_no_checkout_is_refused(tmp_path):
  done = subprocess.run(
    [sys.executable, '-m', 'launch.bench.started', f'--against={tmp_path}'],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 1
  assert 'is not a checkout: expected a folder with train/' in done.stderr


def test_a_run_that_ends_at_once_is_told(tmp_path):
  here = checkout(tmp_path / 'here', 0)
  (here / 'train' / '__main__.py').write_text('print("no such recipe")')
  with pytest.raises(ValueError, match=r'first step, with .*no such recipe'):
    starts.compare({'here': here}, [], 1)
