"""The command: what it refuses, what it would do, and what it says."""

import json
import os
import pathlib
import shutil

import pytest

from tests import commands

ROOT = pathlib.Path(__file__).resolve().parents[3]
JOB = ('--', 'python', '-m', 'train', '--config=x', '--workdir=gs://b/run')
WHERE = ('--zone=z', '--project=p', '--plan=none')


def launch(*words, cwd=ROOT, **environment):
  """Exit code, stdout and the last line of stderr."""
  env = {**os.environ, 'PYTHONPATH': str(ROOT), **environment}
  done = commands.run('launch.tpu', *words, cwd=str(cwd), env=env)
  return done.returncode, done.stdout, (done.stderr.splitlines() or [''])[-1]


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (('statu', '--name=q'), "did you mean 'status'?"),
    (('start',), '--name must be given'),
    (('start', '--name=q', *WHERE, *JOB), 'one of --type=v5p-256 and --topol'),
    (('start', '--name=q', '--type=v5p-9', *WHERE, *JOB), 'near it: v5p-8, '),
    (
      ('start', '--name=q', '--type=v5p-8', '--project=p', *JOB),
      '--zone must be given',
    ),
    (
      ('start', '--name=q', '--type=v5p-8', *WHERE, '--spot', '--reserved'),
      'at most one of --spot and --reserved',
    ),
    (('start', '--name=q', '--type=v5p-8', *WHERE), 'no command was given'),
    (
      ('start', '--name=q', '--type=v5p-8', *WHERE, *JOB[:-1], '--workdir=r'),
      'a folder of one machine, expected one that all hosts see: gs://',
    ),
    (
      ('start', '--name=q', '--type=v5p-8', *WHERE, '--env=NOT_SET', *JOB),
      '--env=NOT_SET: there is no such variable here',
    ),
    (
      ('start', '--name=q', '--type=v5p-8', *WHERE, '--env=A B=1', *JOB),
      "'A B' is no name of a variable",
    ),
    (
      ('start', '--name=q', '--type=v5p-8', *WHERE, *JOB[1:]),
      'put -- before the command',
    ),
    (('stop', '--name=q', '--grace_sec=-1'), 'is not a non-negative number'),
    (('stop', '--name=q', 'now'), 'takes flags only'),
  ],
)
def test_what_is_wrong_is_one_line_and_exit_code_1(words, message, tmp_path):
  code, out, said = launch(*words, cwd=tmp_path)
  assert code == 1
  assert message in said
  assert not [*tmp_path.iterdir()], out


def test_a_name_that_was_not_launched(tmp_path):
  code, _, said = launch('status', '--name=q', cwd=tmp_path)
  assert code == 1
  assert 'nothing was launched from this folder' in said


def test_gcloud_that_is_not_there(tmp_path):
  (tmp_path / 'git').symlink_to(shutil.which('git'))
  words = ('start', '--name=q', '--type=v5p-8', *WHERE, *JOB)
  code, _, said = launch(*words, cwd=tmp_path, PATH=str(tmp_path))
  assert code == 1
  assert 'gcloud is not on PATH: install the Google Cloud CLI' in said


def test_a_dry_run_prints_every_command_and_does_nothing(tmp_path):
  code, out, said = launch(
    *('start', '--name=q', '--topology=v5p:4x4x8', '--slices=2', *WHERE),
    *('--reserved', '--through=iap', '--env=TOKEN', '--dry_run', *JOB),
    cwd=tmp_path,
    TOKEN='secret-value',
  )
  assert code == 0, said
  assert 'secret-value' not in out
  commands = [line for line in out.splitlines() if line.startswith('gcloud')]
  create = commands[0]
  for flag in (
    'queued-resources create q --accelerator-type=v5p-256 ',
    '--runtime-version=v2-alpha-tpuv5 --node-count=2 --node-prefix=q ',
    '--reserved --valid-until-duration=86400s ',
    '--zone=z --project=p --quiet',
  ):
    assert flag in create
  assert len(commands) == 9
  assert all('--tunnel-through-iap' in each for each in commands[3:8])
  assert 'queued-resources delete q --force' in commands[-1]
  assert json.dumps('gs://b/run')[1:-1] in out
  assert '64 hosts' in out
  assert not [*tmp_path.iterdir()]
