"""Start after start, in this process."""

import socket

import pytest

from launch import job as job_lib
from launch.local import attempt, environment, run

JOIN = """
from train import processes
processes.join('', start_sec=200, silent_sec=100, meet_sec=100)
"""


@pytest.fixture
def taken():
  """A port at which another program listens."""
  with socket.socket() as other:
    other.bind(('127.0.0.1', 0))
    other.listen()
    yield other.getsockname()[1]


def test_a_port_that_was_taken_is_chosen_anew(
  taken, tmp_path, monkeypatch, capfd
):
  """By another program, between the choice and the use."""
  free = environment._free_port
  ports = iter([taken, taken])
  monkeypatch.setattr(
    environment, '_free_port', lambda: next(ports, None) or free()
  )
  start = attempt.Start(
    job=job_lib.parse(['python', '-c', JOIN], one_disk=True),
    shares=[{}, {}],
    logs=tmp_path,
    grace_sec=100,
    join_sec=200,
  )
  assert run.run(start, max_restarts=0) == 0
  said = capfd.readouterr().out
  assert said.count('another program took the port') == 2
  assert said.endswith('[launch.local] done\n')


def test_logs_lie_in_the_run_or_where_they_are_wanted(tmp_path):
  def folder(*words, logs=''):
    job = job_lib.parse(['python', *words], one_disk=True)
    return run.folder_of_logs(job, logs)

  assert folder(f'--workdir={tmp_path}/a') == tmp_path / 'a/logs'
  asked = folder(f'--workdir={tmp_path}/a', logs=f'{tmp_path}/b')
  assert asked == tmp_path / 'b'
  # No place of its own: one that is new, and told.
  first, second = folder('--workdir=gs://bucket/a'), folder('x')
  assert first != second
  for each in (first, second):
    assert each.is_dir()
    each.rmdir()
