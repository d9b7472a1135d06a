"""The built-in world on disk: the same clips, complete or not there."""

import errno
import os
import pathlib
import pickle
import re

import numpy as np
import pytest

from data.sources.world import cache
from data.sources.world import source as world

KEYS = ('video', 'depth')
SMALL = {
  'frames': 3,
  'height': 16,
  'width': 24,
  'clips': 6,
  'test_clips': 4,
}


def _make(path, split='train', **options):
  return world.make(split, **SMALL | {'keys': KEYS} | options, cache=str(path))


def _files(path):
  return sorted(str(p.relative_to(path)) for p in path.rglob('*.npy*'))


def test_cached_clips_are_the_rendered_ones(tmp_path):
  cached = _make(tmp_path, keys=world.KEYS)
  drawn = world.make('train', **SMALL, keys=world.KEYS)
  assert len(cached) == len(drawn) == 6
  for index in range(6):
    got, expected = cached.read(index, None), drawn.read(index)
    assert list(got) == list(expected)
    for key in world.KEYS:
      assert got[key].dtype == expected[key].dtype
      # Points are made of what is stored.
      relative = 5e-4 if key in ('depth', 'point_map') else 0
      absolute = 1e-2 if key == 'point_map' else 0
      np.testing.assert_allclose(
        got[key], expected[key], rtol=relative, atol=absolute
      )
  with pytest.raises(IndexError, match='clip 6 of the 6'):
    cached.read(6)


def test_a_clip_may_be_changed_without_harm(tmp_path):
  source = _make(tmp_path, keys=('video',))
  clip = source.read(0)
  clip['video'][:] = 0
  assert source.read(0)['video'].any()


def test_source_holds_no_pictures(tmp_path):
  source = _make(tmp_path)
  source.read(0)
  pickled = pickle.dumps(source)
  assert len(pickled) < 2000
  again = pickle.loads(pickled).read(5)
  np.testing.assert_array_equal(again['video'], source.read(5)['video'])


def test_what_is_there_is_not_rendered_again(tmp_path, monkeypatch, capsys):
  _make(tmp_path, keys=('video',))
  _make(tmp_path, keys=('video', 'depth'))
  monkeypatch.setattr(world.World, '_draw', None)
  _make(tmp_path, keys=('depth', 'video')).read(3)
  assert capsys.readouterr().out == ''


def test_other_options_are_other_files(tmp_path):
  a = _make(tmp_path, keys=('depth',))
  b = _make(tmp_path, keys=('depth',), seed=1)
  c = _make(tmp_path, 'test', keys=('depth',))
  assert len({a.folder, b.folder, c.folder}) == 3
  assert not np.array_equal(a.read(0)['depth'], b.read(0)['depth'])
  assert not np.array_equal(a.read(0)['depth'], c.read(0)['depth'])


def test_an_interrupted_try_starts_over(tmp_path, monkeypatch):
  draw = world.World._draw

  def interrupted(self, index):
    if index == 4:
      raise KeyboardInterrupt
    return draw(self, index)

  with monkeypatch.context() as patched:
    patched.setattr(world.World, '_draw', interrupted)
    with pytest.raises(KeyboardInterrupt):
      _make(tmp_path)
  assert _files(tmp_path) == []
  source = _make(tmp_path)
  assert all(name.endswith('.npy') for name in _files(tmp_path))
  expected = world.make('train', **SMALL, keys=KEYS).read(5)
  np.testing.assert_array_equal(source.read(5)['video'], expected['video'])


def test_a_full_disk_is_said_before_rendering(tmp_path, monkeypatch):
  def full(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(os, 'posix_fallocate', full)
  with pytest.raises(OSError, match='too full for a world cache of 0 MiB'):
    _make(tmp_path)
  assert _files(tmp_path) == []


def test_several_processes_render_the_same(tmp_path, monkeypatch):
  monkeypatch.setattr(cache, '_CHUNK', 1)
  source = _make(tmp_path, keys=('video',), cache_workers=2)
  drawn = world.make('train', **SMALL, keys=('video',))
  for index in range(6):
    np.testing.assert_array_equal(
      source.read(index)['video'], drawn.read(index)['video']
    )


@pytest.mark.parametrize(
  ('damage', 'said'),
  [
    (lambda data: b'', ''),
    (lambda data: data[:50], ''),
    (lambda data: data[:-9], ''),
    (lambda data: b'garbled ' + data[8:], ''),
    (lambda data: data[:20] + b"{'(" + data[23:], ''),
    (
      lambda data: data.replace(b'(6, 3, 16, 24, 3)', b'(6, 3, 24, 16, 3)'),
      r'uint8 \[6, 3, 24, 16, 3\], expected uint8 \[6, 3, 16, 24, 3\]',
    ),
    (lambda data: data.replace(b'|u1', b'|i1'), 'int8 .*, expected uint8'),
  ],
)
def test_a_damaged_file_is_told_and_rendered_anew(
  tmp_path, capsys, damage, said
):
  source = _make(tmp_path, keys=('video', 'depth'))
  (file,) = tmp_path.glob('*/train/video.npy')
  whole = file.read_bytes()
  file.write_bytes(damage(whole))
  assert file.read_bytes() != whole
  (depth,) = tmp_path.glob('*/train/depth.npy')
  before = depth.stat().st_mtime_ns
  _make(tmp_path, keys=('video', 'depth'))
  out = capsys.readouterr().out
  assert re.search(rf'world: .*video\.npy is damaged.*{said}', out)
  assert file.read_bytes() == whole
  assert depth.stat().st_mtime_ns == before
  assert len(source) == 6


def test_what_a_killed_process_left_is_removed(tmp_path):
  source = _make(tmp_path, keys=('depth',))
  left = pathlib.Path(source.folder) / '.video.draft-host-7.npy'
  left.write_bytes(b'half')
  _make(tmp_path, keys=('video',))
  assert not left.exists()
