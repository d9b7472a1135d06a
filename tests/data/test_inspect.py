import shutil

import cv2
import numpy as np
import pytest

from data import ingest, inspect, shards


@pytest.fixture(scope='module')
def folder(footage, tmp_path_factory):
  out = tmp_path_factory.mktemp('inspect') / 'data'
  ingest.ingest(str(footage), out, {}, workers=0)
  return out


def test_says_what_a_folder_holds_and_draws_it(folder, tmp_path, capsys):
  picture = tmp_path / 'sheet.png'
  found = inspect.inspect(str(folder), 'train', 0, picture)
  assert (found['checked'], found['bad']) == (3, [])
  text = capsys.readouterr().out
  for part in ('3 videos, 3 records', '3 files refused', '1 x empty file'):
    assert part in text
  drawn = cv2.imread(str(picture))
  assert drawn.shape == (3 * (96 + 16), 8 * 128, 3)
  # The last row is a video that becomes brighter.
  assert drawn[-96:, -128:].mean() > drawn[-96:, :128].mean() + 50


def test_finds_bad_records(folder, tmp_path):
  copy = tmp_path / 'data'
  shutil.copytree(folder, copy)
  file = copy / shards.shard_name(0)
  data = bytearray(file.read_bytes())
  data[data.index(b'4DV1') + 500] ^= 1
  file.write_bytes(data)
  found = inspect.inspect(str(copy), 'train', 0, None)
  assert found['checked'] == 3
  assert len(found['bad']) == 1
  assert found['picture'] == copy / 'contact.png'


def test_draws_video_and_depth_of_a_source(tmp_path):
  found = inspect.inspect('world', 'train', 2, tmp_path / 'sheet.png')
  assert found['checked'] == 4
  assert cv2.imread(str(found['picture'])).shape[0] == 4 * (96 + 16)


def test_near_is_red_far_is_blue_unknown_is_black():
  depth = np.array([0.0, 1.0, 10.0], np.float32).reshape(1, 1, 3, 1)
  unknown, near, far = inspect.depth_picture(depth)[0, 0].astype(int)
  assert (unknown == 0).all()
  assert near[0] > near[2]
  assert far[2] > far[0]


def test_other_names_are_errors():
  with pytest.raises(ValueError, match='nothing'):
    inspect.inspect('nothing', 'train', 1, None)
