"""Whether a name that was launched goes on, or begins anew."""

import dataclasses

import pytest

from launch import job as job_lib
from launch import machines
from launch.tpu import begin, record
from launch.tpu.machine import Order

COMMAND = ('python', '-m', 'train', '--workdir=gs://b/run')
ORDER = Order('q', machines.parse('v5p-8'), 1, 'spot', 60)


@pytest.fixture
def launched(tmp_path, monkeypatch):
  """The record of a launch that was started."""
  monkeypatch.chdir(tmp_path)
  values = dict.fromkeys(record._KINDS, '')
  values |= {'name': 'q', 'command': list(COMMAND), 'wanted': record.RUN}
  values |= {'type': 'v5p-8', 'topology': ORDER.slice.name, 'slices': 1}
  values |= {'ssh_port': 22, 'wait_sec': 60, 'attempt': 1, 'restarts': 0}
  return record.save(record.Record(**values | {'forecast': {}}))


def test_the_same_command_goes_on_and_another_does_not(launched):
  assert begin.going_on(job_lib.Job(COMMAND, 'train'), ORDER) == launched
  other = job_lib.Job((*COMMAND, '--config=x'), 'train')
  with pytest.raises(ValueError, match='runs another command'):
    begin.going_on(other, ORDER)


def test_after_a_stop_any_command_begins_anew(launched):
  """Also where nobody followed it, who would have noted how it ended."""
  record.save(dataclasses.replace(launched, wanted=record.STOP))
  other = job_lib.Job((*COMMAND, '--config=x'), 'train')
  assert begin.going_on(other, ORDER) is None
