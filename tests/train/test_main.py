"""The command line: quick to answer, and a wrong word is met with the right."""

import subprocess
import sys

import pytest


def python(*arguments):
  return subprocess.run(
    [sys.executable, *arguments], capture_output=True, text=True, check=False
  )


def test_help_imports_nothing_heavy():
  code = (
    'import sys, train.__main__;'
    'print({"jax", "flax", "grain", "numpy", "tensorflow"} & {*sys.modules})'
  )
  assert python('-c', code).stdout.strip() == 'set()'
  shown = python('-m', 'train', '--help')
  flags = (
    'config',
    'profile_steps',
    'allow',
    'longer',
    'back_to',
    'compilation_cache',
  )
  for flag in flags:
    assert f'--{flag}' in shown.stdout


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--config.optim.lrr=1'], "did you mean 'lr'"),
    (['--config=configs/quickstart.py:sede=1'], "did you mean 'seed'"),
    (['--config=configs/quickstart.py:seed=x'], 'must be of type int'),
    (['--config=configs/quickstar.py'], 'quickstar'),
  ],
)
def test_a_misspelt_key_names_the_nearest(arguments, message, tmp_path):
  done = python(
    '-m',
    'train',
    '--config=configs/quickstart.py',
    f'--workdir={tmp_path}/run',
    *arguments,
  )
  assert done.returncode != 0
  assert message in done.stderr + done.stdout
  assert not (tmp_path / 'run').exists()
