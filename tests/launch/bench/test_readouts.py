"""What readouts cost, beside one another."""

import pytest

from tests import commands


@pytest.mark.slow
def test_each_job_has_a_line_beside_one_rate_and_the_dearest_task():
  done = commands.run(
    'launch.bench.readouts',
    *('--backbone=configs/quickstart.py', '--backbone.model.depth=2'),
    *('--tasks=pose,classify', '--lrs=1e-3+1e-2', '--rounds=2'),
    '--batch_size=8',
  )
  assert done.returncode == 0, done.stderr
  head, *lines = done.stdout.strip().splitlines()[-7:]
  assert head.split()[:2] == ['tasks', 'rates']
  assert [line.split()[:3] for line in lines] == [
    [tasks, rates, word]
    for tasks in ('pose', 'classify', 'pose+classify')
    for rates, word in (('1', 'rate'), ('2', 'rates'))
  ]
  by_flops = [float(line.split()[5]) for line in lines]
  # A second rate is a second head; a second task one more on one backbone.
  assert 1 < by_flops[1] < 2
  assert 1 < by_flops[4] < 2
  assert 1 in (by_flops[0], by_flops[2])
