"""What the launcher adds to a start."""

import re
import subprocess
import sys


def test_the_launcher_and_bare_processes_take_turns():
  run = subprocess.run(
    [
      *(sys.executable, '-m', 'launch.bench.launched'),
      *('--processes=2', '--rounds=1'),
    ],
    capture_output=True,
    text=True,
    timeout=240,
  )
  assert run.returncode == 0, run.stderr
  found = re.search(
    r'2 processes, medians of 1: (.*) s bare, (.*) s by launch.local, which '
    r'adds (.*) s',
    run.stdout,
  )
  bare, launched, added = map(float, found.groups())
  assert abs(launched - bare - added) < 0.03
