"""Every kind of fault is found, and the world and its neighbours have none."""

import re

import numpy as np
import pytest

from data import source
from data.inspect import check
from data.sources.world import source as world

T, H, W, QUERIES, OBJECTS = 3, 4, 5, 2, 6


def record():
  box = np.float32([0.1, 0.2, 0.3, 0.4])
  return {
    'video': np.zeros((T, H, W, 3), np.uint8),
    'depth': np.ones((T, H, W, 1), np.float32),
    'pose': np.tile(np.eye(4, dtype=np.float32), (T, 1, 1)),
    'intrinsics': np.diag(np.float32([4, 5, 1])),
    'tracks': np.full((QUERIES, T, 2), 0.5, np.float32),
    'tracks_visible': np.ones((QUERIES, T), bool),
    'query_frames': np.zeros(QUERIES, np.int32),
    'boxes': np.tile(box, (OBJECTS, T, 1)),
    'boxes_visible': np.ones((OBJECTS, T), bool),
    'segmentation': np.zeros((T, H, W, 1), np.uint8),
    'label': np.array(3, np.int32),
    'video_id': np.array(0, np.int32),
  }


def test_the_table_is_that_of_source():
  rows = re.findall(r'^\| (\w+) \| (\w+) \[(.*?)\] \|', source.__doc__, re.M)
  assert {key: (dtype, shape) for key, dtype, shape in rows} == source.TABLE


def test_good_records_have_no_fault():
  assert check.faults(record()) == []
  clip = world.make('train', frames=3, height=24, width=32, keys=world.KEYS)
  assert check.faults(clip.read(1)) == []


@pytest.mark.parametrize(
  ('key', 'value', 'fault'),
  [
    ('video', np.zeros((T, H, W, 3), np.float32), 'float32, expected uint8'),
    ('video', np.zeros((T, H, W), np.uint8), r'shape \[3, 4, 5\]'),
    ('depth', np.zeros((T, W, H, 1), np.float32), r'\[3, 4, 5, 1\]'),
    ('sound', np.zeros(3), 'no such key'),
    ('boxes_visible', np.ones((QUERIES, T), bool), 'expected'),
  ],
)
def test_types_and_shapes(key, value, fault):
  (found,) = check.faults({**record(), key: value})
  assert found.startswith(f'{key}: ')
  assert re.search(fault, found)


@pytest.mark.parametrize(
  ('key', 'at', 'value', 'fault'),
  [
    ('depth', (0, 1, 2, 0), -0.5, '-0.5 m is negative'),
    ('depth', (0, 1, 2, 0), np.inf, 'not finite'),
    ('pose', (1, 0, 0), 1.1, 'not rigid'),
    ('pose', (1, 2, 2), -1, 'mirrors'),
    ('pose', (1, 0, 3), np.nan, 'not finite'),
    ('pose', (1, 3, 0), 2, 'last row'),
    ('intrinsics', (1, 1), -5, 'not positive'),
    ('intrinsics', (2, 0), 1, 'last row'),
    ('tracks', (0, 1), np.nan, 'not finite'),
    ('tracks', (0, 1), 40, 'visible from 0.5 to 40'),
    ('query_frames', 1, T, f'0 to {T}, expected 0 to {T - 1}'),
    ('query_frames', 0, -1, '-1 to 0, expected'),
    ('boxes', (0, 1, 0), 0.35, 'ymin > ymax'),
    ('boxes', (0, 1, 3), np.inf, 'not finite'),
    ('boxes', (0, 1, 3), 1.5, 'visible from 0.1 to 1.5'),
    ('label', (), -1, '-1 is negative'),
  ],
)
def test_values(key, at, value, fault):
  changed = record()
  changed[key][at] = value
  (found,) = check.faults(changed)
  assert found.startswith(f'{key}: ')
  assert fault in found


def test_what_is_invisible_may_be_anywhere():
  changed = record()
  changed['tracks'][1, 2] = -7
  changed['tracks_visible'][1, 2] = False
  assert check.faults(changed) == []
