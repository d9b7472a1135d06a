"""What is asked of a cluster, and what no cluster can do."""

import dataclasses

import pytest

from launch.slurm import order

GOOD = order.Order(
  name='a',
  nodes=2,
  tasks_per_node=1,
  gpus_per_node=8,
  cpus_per_task=0,
  time='12:00:00',
  partition='',
  sbatch={},
  save_sec=180,
  max_restarts=3,
)


@pytest.mark.parametrize(
  ('time', 'seconds'),
  [
    ('90', 5400),
    ('90:30', 5430),
    ('1:00:30', 3630),
    ('2-3', 183_600),
    ('2-3:30', 185_400),
    ('1-00:00:01', 86_401),
    ('UNLIMITED', 0),
  ],
)
def test_limits_are_read_as_slurm_does(time, seconds):
  assert order.seconds(time) == seconds


@pytest.mark.parametrize(
  ('changes', 'says'),
  [
    ({'time': '1d'}, 'is no time of Slurm'),
    ({'time': '4'}, 'leaves no time to train'),
    ({'name': '../a'}, 'must be letters'),
    ({'tasks_per_node': 4}, 'expected 1 or 8'),
    ({'partition': 'a\nb'}, 'expected a name that `sinfo` lists'),
    ({'sbatch': {'account': 'a\nb'}}, 'has several lines'),
  ],
)
def test_what_cannot_work_is_refused(changes, says):
  with pytest.raises(ValueError, match=says):
    dataclasses.replace(GOOD, **changes)


def test_further_options_are_those_of_sbatch():
  found = order.options(['account=a=b', '--exclusive'])
  assert found == {'account': 'a=b', 'exclusive': True}


@pytest.mark.parametrize(
  ('option', 'says'),
  [
    ('signal=USR1@5', 'it is --save_sec'),
    ('-A=x', 'expected NAME=VALUE'),
    ('gpus-per-task=1', 'hides GPUs from JAX'),
  ],
)
def test_what_the_launcher_needs_for_itself_is_refused(option, says):
  with pytest.raises(ValueError, match=says):
    order.options([option])
