"""The record of a run, as a person or a kill may have left it."""

import errno
import json

import pytest

from train import writer as writer_lib

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
  [b'\n', b'{"step": 2, "tr\n', b'[2]\n', b'{"loss": 2}\n', b'\xff\x00\n'],
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


def test_a_full_disk_is_told_with_the_folder(tmp_path, monkeypatch):
  def full(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(writer_lib.Writer, '_write_scalars', full)
  writer = writer_lib.Writer(str(tmp_path), start=0, **OPTIONS)
  with pytest.raises(OSError, match='disk is full') as raised, writer:
    writer.scalars(1, {'train/loss': 0.5})
  assert raised.value.filename == str(tmp_path)
