"""Features on disk: whole or not there, and written by one process."""

import json
import threading
from concurrent import futures

import numpy as np
import pytest

from base import files
from data.sources import features

CLIPS = np.arange(5 * 2 * 3 * 4, dtype=np.float32).reshape(5, 2, 3, 4)


def _make(path):
  return features.make(
    'train', path=str(path), source={'name': 'world'}, keys=('features',)
  )


def _write(path):
  features.write(path, 'train', iter([CLIPS[:2], CLIPS[2:]]))


def test_what_is_written_is_read(tmp_path):
  _write(tmp_path)
  assert sorted(file.name for file in tmp_path.iterdir()) == [
    'lock',
    'train.array_record',
    'train.json',
  ]
  source = _make(tmp_path)
  assert len(source) == 5
  for index, clip in enumerate(CLIPS):
    got = source.read(index, np.random.default_rng(0))['features']
    np.testing.assert_array_equal(got, clip.astype(features.DTYPE))


def test_who_comes_second_waits_and_finds_them_there(tmp_path):
  """Two jobs with the same backbone; locks hold between threads too."""
  began, may_end = threading.Event(), threading.Event()

  def slow():
    began.set()
    assert may_end.wait(60)
    yield CLIPS

  def unasked():
    yield pytest.fail('the first has written them')

  with futures.ThreadPoolExecutor(2) as both:
    first = both.submit(features.write, tmp_path, 'train', slow())
    assert began.wait(60)
    second = both.submit(features.write, tmp_path, 'train', unasked())
    with pytest.raises(TimeoutError):
      second.result(0.2)
    may_end.set()
    first.result(60)
    second.result(60)
  assert len(_make(tmp_path)) == 5


def test_what_a_killed_process_left_is_written_anew(tmp_path):
  def killed():
    yield CLIPS[:2]
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    features.write(tmp_path, 'train', killed())
  assert features.is_missing(tmp_path, 'train')
  (tmp_path / '.train.draft-host-1.array_record').write_text('half')
  _write(tmp_path)
  assert len(_make(tmp_path)) == 5
  assert not list(tmp_path.glob('.*'))


@pytest.mark.parametrize(
  ('name', 'damage', 'said'),
  [
    ('train.json', b'', 'is empty'),
    ('train.json', b'{"shape": [2, ', 'is not JSON'),
    ('train.json', b'[]', 'holds a list'),
    ('train.json', b'{"shape": [2, 3, 4]}', 'lacks count, bytes'),
    ('train.json', b'{"shape": 2, "count": 5, "bytes": 9}', 'shape holds a in'),
    (
      'train.json',
      b'{"shape": [-2, 3], "count": 5, "bytes": 9}',
      'shape: 0 is -2, expected 0 or more',
    ),
    ('train.json', {'shape': [2**40]}, 'more than the .* bytes of'),
    ('train.json', {'count': 2**40}, 'more than the .* bytes of'),
    ('train.array_record', b'', 'has 0 bytes'),
    ('train.array_record', b'cut', 'has 3 bytes'),
    ('train.array_record', None, 'has None bytes'),
  ],
)
def test_damage_is_told_to_who_reads_and_mended_by_who_writes(
  tmp_path, capsys, name, damage, said
):
  _write(tmp_path)
  if damage is None:
    (tmp_path / name).unlink()
  elif isinstance(damage, dict):
    about = json.loads((tmp_path / name).read_text())
    (tmp_path / name).write_text(json.dumps(about | damage))
  else:
    (tmp_path / name).write_bytes(damage)
  with pytest.raises(ValueError, match=rf'{name}.* {said}.*run the readout'):
    _make(tmp_path)
  _write(tmp_path)
  assert 'run the readout job again' in capsys.readouterr().out
  assert len(_make(tmp_path)) == 5
  assert json.loads((tmp_path / 'train.json').read_text())['count'] == 5


def test_a_full_disk_is_told_with_its_path(tmp_path, monkeypatch):
  def full(*_):
    raise RuntimeError('write() failed: No space left on device')

  monkeypatch.setattr(features.array_record_module, 'ArrayRecordWriter', full)
  with pytest.raises(OSError, match=r'free some space.*train\.array_record'):
    _write(tmp_path)
  with files.lock(tmp_path / 'lock') as held_by:
    assert held_by == ''
