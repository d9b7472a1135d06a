"""How processes of a machine share its devices."""

import os

import pytest

from launch.local import shares


@pytest.fixture
def gpus(monkeypatch):
  """Sets how many GPUs there are to be seen."""
  monkeypatch.delenv('JAX_PLATFORMS')
  return lambda names: monkeypatch.setenv('CUDA_VISIBLE_DEVICES', names)


def visible(processes, devices):
  return [
    each.get('CUDA_VISIBLE_DEVICES') for each in shares.of(processes, devices)
  ]


def test_a_cpu_is_split_into_simulated_devices(monkeypatch):
  monkeypatch.setenv('XLA_FLAGS', '--xla_dump_to=d')
  flags = '--xla_dump_to=d --xla_force_host_platform_device_count=2'
  assert shares.of(3, 2) == [{'XLA_FLAGS': flags}] * 3
  assert shares.of(2, 0) == [{}, {}]


def test_gpus_are_split_and_not_shared(gpus):
  gpus('GPU-a,GPU-b,2,3')
  assert visible(2, 0) == ['GPU-a,GPU-b', '2,3']
  assert visible(3, 1) == ['GPU-a', 'GPU-b', '2']
  # One process has them all, as without a launcher.
  assert visible(1, 0) == [None]


@pytest.mark.parametrize(
  ('processes', 'devices', 'says'),
  [
    (2, 2, '2 processes with 2 GPUs each, but there are 3 .0, 1, 2.'),
    (4, 0, '4 processes with 1 GPUs each, but there are 3'),
    (2, 0, '3 GPUs do not divide among 2 processes'),
  ],
)
def test_too_few_gpus_are_told(gpus, processes, devices, says):
  gpus('0,1,2')
  with pytest.raises(ValueError, match=says):
    shares.of(processes, devices)


def test_gpus_do_not_matter_to_a_run_on_the_cpu(monkeypatch):
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
  assert visible(2, 1) == [None, None]


def test_runs_side_by_side_have_cores_of_their_own(monkeypatch):
  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {1, 2, 4, 5, 7})
  assert shares.cores(2) == [(1, 2), (4, 5, 7)]
  # One has all; and so have all, where there is no core for each.
  assert shares.cores(1) == [()]
  assert shares.cores(6) == [()] * 6


def test_cores_are_not_shared_out_where_gpus_compute(gpus):
  gpus('0,1')
  assert shares.cores(2) == [(), ()]
