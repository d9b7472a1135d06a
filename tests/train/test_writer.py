"""The record of a run, as a person or a kill may have left it."""

import errno
import json
import os
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest

from train import writer as writer_lib
from train.progress import samples

OPTIONS = {
  **{'config': {}, 'attempt': 1, 'every': 1, 'tensorboard': False},
  **{'wandb': 'disabled', 'wandb_project': 'scale4d', 'wandb_group': ''},
}


def lines_after(tmp_path, text, start):
  path = tmp_path / 'metrics.jsonl'
  path.write_bytes(text)
  with writer_lib.Writer(str(tmp_path), start=start, **OPTIONS) as writer:
    writer.scalars(start + 1, {'train/loss': 0.5})
  return [json.loads(line)['step'] for line in path.read_text().splitlines()]


GOOD = b'{"step": 1, "train/loss": 3.0}\n'


@pytest.mark.parametrize(
  'bad',
  [
    *(b'\n', b'{"step": 2, "tr\n', b'[2]\n', b'{"loss": 2}\n', b'\xff\x00\n'),
    *(b'[' * 10**5 + b'\n', b'{"step": 1e999}\n'),
  ],
  ids=lambda x: x[:20].decode(errors='replace'),
)
def test_a_damaged_line_is_left_out_and_that_is_said(tmp_path, capsys, bad):
  text = GOOD + bad + b'{"step": 3}\n'
  assert lines_after(tmp_path, text, 3) == [1, 3, 4]
  assert '1 lines are damaged and left out, the first is line 2' in (
    capsys.readouterr().out
  )


def test_a_line_that_a_kill_cut_is_written_again_without_a_word(
  tmp_path, capsys
):
  assert lines_after(tmp_path, GOOD + b'{"step": 2, "tr', 1) == [1, 2]
  assert 'damaged' not in capsys.readouterr().out


def hashes_after(tmp_path, start, keys, **options):
  """(what is said to be known of samples, a line of step start + 1)."""
  path = tmp_path / 'metrics.jsonl'
  with writer_lib.Writer(str(tmp_path), start=start, **OPTIONS) as writer:
    found = samples.Samples(writer.left, start, keys, **options)
    found.add(start + 1, start)
    writer.scalars(start + 1, {'train/loss': 0.5}, found.line(start + 1))
  *_, line = path.read_text().splitlines()
  return json.loads(line)['data/samples']


def test_a_hash_of_samples_goes_on_behind_the_last_line(tmp_path, capsys):
  """Whatever is lost of the lines before, and as long as that is cheap."""
  path = tmp_path / 'metrics.jsonl'
  asked = []

  def keys(number):
    asked.append(number)
    return number

  whole = hashes_after(tmp_path, 5, keys, batch_size=1)
  assert asked == [0, 1, 2, 3, 4]
  path.unlink()
  third = hashes_after(tmp_path, 2, keys, batch_size=1)
  asked.clear()
  for lines in (
    [{'step': 3, 'data/samples': third}, {'step': 4, 'eval/loss': 1.0}],
    [{'step': 3, 'data/samples': third}, {'step': 4, 'data/samples': 7}],
  ):
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    assert hashes_after(tmp_path, 5, keys, batch_size=1) == whole
  assert asked == [3, 4] * 2
  assert 'begins there' not in capsys.readouterr().out
  path.unlink()
  asked.clear()
  hashes_after(tmp_path, 5, keys, batch_size=2**20)
  assert not asked
  assert 'no data/samples of step 5' in capsys.readouterr().out


def test_a_full_disk_is_told_with_the_folder(tmp_path, monkeypatch):
  def full(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(writer_lib.Writer, '_write_scalars', full)
  writer = writer_lib.Writer(str(tmp_path), start=0, **OPTIONS)
  with pytest.raises(OSError, match='disk is full') as raised, writer:
    writer.scalars(1, {'train/loss': 0.5})
  assert raised.value.filename == str(tmp_path)


STARTS = """
import os, sys
import numpy as np
from train.writer import Writer

folder, start, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
options = {'config': {'start': start}, 'attempt': 1, 'every': 1}
options |= {'tensorboard': True, 'wandb': 'offline'}
options |= {'wandb_project': 'scale4d', 'wandb_group': ''}
with Writer(folder, start=start, **options) as writer:
  for step in range(start + 1, last + 1):
    writer.scalars(step, {'train/loss': step + start / 100})
    if step % 3 == 0:
      writer.pictures(step, {'drawn': np.full([1, 2, 8, 12, 3], step / 20)})
    if step == 6:
      writer.before_save()
  if start == 0:
    writer.flush()
    os._exit(1)  # killed, with steps behind its checkpoint of step 6
"""


@pytest.mark.slow
def test_after_a_kill_every_log_has_each_step_once(tmp_path):
  # Else W&B's process of other tests, which is not killed, serves both.
  alone = {k: x for k, x in os.environ.items() if k != 'WANDB_SERVICE'}
  for start, last in ((0, 9), (6, 12)):
    done = subprocess.run(
      [sys.executable, '-c', STARTS, str(tmp_path), str(start), str(last)],
      capture_output=True,
      text=True,
      env=alone,
    )
    assert done.returncode == (start == 0), done.stderr
  want = [(n, n if n <= 6 else n + 0.06) for n in range(1, 13)]
  text = (tmp_path / 'metrics.jsonl').read_text()
  lines = [json.loads(line) for line in text.splitlines()]
  assert [(x['step'], x['train/loss']) for x in lines] == want
  scalars, pictures = shown_in_tensorboard(tmp_path)
  assert scalars == [(n, pytest.approx(x)) for n, x in want]
  assert pictures == [3, 6, 9, 12]
  (logged,) = tmp_path.glob('wandb/offline-run-*/*.wandb')
  scalars, pictures = shown_in_wandb(logged)
  assert scalars == want
  assert pictures == [3, 6, 9, 12]
  (shown,) = logged.parent.glob('files/media/images/drawn_3_*.png')
  drawn = tmp_path / 'pictures/3/drawn.png'
  np.testing.assert_array_equal(cv2.imread(str(shown)), cv2.imread(str(drawn)))


def shown_in_tensorboard(folder):
  """[(step, loss)] and steps of pictures, as TensorBoard's own reader has."""
  from tensorboard.backend.event_processing import event_accumulator
  from tensorboard.util import tensor_util

  found = event_accumulator.EventAccumulator(
    str(folder), size_guidance={'tensors': 0}
  ).Reload()
  losses = [
    (each.step, tensor_util.make_ndarray(each.tensor_proto).item())
    for each in found.Tensors('train/loss')
  ]
  return losses, [each.step for each in found.Tensors('drawn')]


def shown_in_wandb(path):
  """[(step, loss)] and steps of pictures, of the file that `wandb sync` sends.

  It is a log as LevelDB has it: blocks of 32 KiB, of parts of records behind
  seven bytes each, the last of which says whether more parts follow.
  """
  from wandb.proto import wandb_internal_pb2

  data, at, parts, losses, pictures = path.read_bytes(), 7, [], [], []
  while at + 7 <= len(data):
    left = 32768 - at % 32768
    if left < 7:
      at += left
      continue
    _, size, kind = struct.unpack('<IHB', data[at : at + 7])
    parts.append(data[at + 7 : at + 7 + size])
    at += 7 + size
    if kind in (1, 4):  # whole, or its last part
      found = wandb_internal_pb2.Record.FromString(b''.join(parts))
      parts = []
      items = {
        '/'.join(each.nested_key) or each.key: json.loads(each.value_json)
        for each in found.history.item
      }
      if 'train/loss' in items:
        losses.append((items['_step'], items['train/loss']))
      if any(key.startswith('drawn') for key in items):
        pictures.append(items['_step'])
  return losses, pictures
