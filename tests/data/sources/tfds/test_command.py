"""Runs on a data set by the name that the package has for it."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

CLIP = {'frames': 4, 'height': 24, 'width': 32}
MODEL = {**CLIP, 'depth': 2, 'dim': 32, 'heads': 2, 'mlp': 64}


def run(module, *flags):
  done = subprocess.run(
    [sys.executable, '-m', module, *flags], capture_output=True, text=True
  )
  return done.returncode, done.stdout + done.stderr


def test_a_run(root, tmp_path):
  named = f'data=tfds,data.dataset=ucf101_like,data.data_dir={root}'
  code, said = run(
    'train',
    f'--config=configs/mae.py:size=tiny,{named},steps=3,batch_size=8',
    *(f'--config.model.{key}={value}' for key, value in MODEL.items()),
    *(f'--config.data.sources.train.{k}={v}' for k, v in CLIP.items()),
    '--config.data.workers=0',
    f'--workdir={tmp_path / "run"}',
  )
  assert code == 0, said[-2000:]
  assert 'step 3/3' in said


def test_a_wrong_name_is_told_in_a_line(root, tmp_path):
  code, said = run(
    'train',
    '--config=configs/mae.py:size=tiny,data=tfds,data.dataset=ucf101_lik,'
    f'data.data_dir={root}',
    f'--workdir={tmp_path / "run"}',
  )
  assert code == 1
  assert "did you mean 'ucf101_like'?" in said
  assert 'Traceback' not in said
