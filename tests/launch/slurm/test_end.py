"""How a batch script ends: by the codes that its tasks have kept."""

import subprocess
import sys

import pytest

from launch.slurm import end, state
from launch.slurm.record import Record


@pytest.mark.parametrize(
  ('kept', 'srun', 'ended'),
  [
    # In the order of time, not of number.
    ({0: '12.5 134', 1: '11.5 70'}, 134, [(1, 70), (0, 134)]),
    ({0: '11.0 75', 1: '12.0 75'}, 0, [(0, 75), (1, 75)]),
    # A task that was killed with its shell: srun alone knows.
    ({0: '11.0 0'}, 137, [(0, 0), (-1, 137)]),
    # Others ended because of one; srun gives the highest of all.
    ({0: '11.0 1'}, 143, [(0, 1)]),
    ({0: '11.0 0', 1: ''}, 137, [(0, 0), (-1, 137)]),
    # Of a node that went, and not of wrong input.
    ({}, 1, [(-1, 70)]),
    ({}, 0, [(-1, 70)]),
  ],
)
def test_codes_are_those_of_tasks_in_the_order_of_their_ends(
  tmp_path, kept, srun, ended
):
  for task, line in kept.items():
    (tmp_path / f'{task}').write_text(f'{line}\n')
  assert end.codes(tmp_path, srun) == ended


def test_a_job_that_is_not_taken_back_is_at_its_end(tmp_path, monkeypatch):
  record = Record(tmp_path, '7', 1, 'python')
  (record.own / 'attempt-1').mkdir(parents=True)
  (record.own / 'attempt-1/0').write_text('11.0 75\n')
  program = tmp_path / 'scontrol'
  program.write_text("""#!/bin/bash
    [ $1 = requeue ] && echo 'Requested operation is disabled' >&2 && exit 1
    echo 'JobState=FAILED Reason=NonZeroExitCode'
  """)
  program.chmod(0o755)
  monkeypatch.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')
  monkeypatch.setenv('SCALE4D_ATTEMPT', '1')
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'launch.slurm.end', f'--logs={tmp_path}'),
      *('--job=7', '--code=0'),
    ],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 1
  assert 'Requested operation is disabled' in done.stderr
  assert 'did not take it back' in record.ends()[-1]['why']
  assert state.code(record) == 75
