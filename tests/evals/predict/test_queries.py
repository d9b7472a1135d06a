import numpy as np
import pytest

from evals.predict import queries


def test_queries_come_from_a_file(tmp_path):
  path = tmp_path / 'queries.json'

  def read(text):
    path.write_text(text)
    return queries.read(str(path), ['boxes', 'points'])

  got = read('{"points": [[0, 0.5], [1, 0.25]]}')
  np.testing.assert_array_equal(
    got['points'], np.float32([[0, 0.5], [1, 0.25]])
  )
  assert list(got) == ['points']
  got = read('{"points": [[0, 0.5, 3], [1, 0.25, 0]]}')
  np.testing.assert_array_equal(got['points'], [[0, 0.5, 3], [1, 0.25, 0]])
  assert read('{"boxes": [[0, 0.5, 1, 0.75]]}')['boxes'].shape == (1, 4)
  for text, match in (
    ('[[0, 1]]', 'must be an object with .*got list'),
    ('{"point": [[0, 1]]}', r"got \['point'\]"),
    ('{}', r'got \[\]'),
    ('{"points": ', 'is not JSON'),
    ('{"points": ' + '[' * 10**5, 'is not JSON'),
    ('{"points": []}', 'points must be a list of one'),
    ('{"points": [[0, 1], [0.5]]}', r'points\[1\]=\[0.5\] must be \[x, y\]'),
    ('{"points": [[0, 1, 2], [0, 1]]}', r'must be \[x, y, frame\]'),
    ('{"points": [[0, 1, 0.5]]}', 'the number of a frame from 0'),
    ('{"points": [[0, 1.5]]}', r'numbers in \[0, 1\]'),
    ('{"points": [[0, NaN]]}', r'numbers in \[0, 1\]'),
    ('{"points": [[0, true]]}', r'numbers in \[0, 1\]'),
    ('{"boxes": [[0.5, 0, 0.5, 1]]}', 'ymin < ymax and xmin < xmax'),
  ):
    with pytest.raises(ValueError, match=match):
      read(text)
  path.write_text('{"boxes": [[0, 0.5, 1, 0.75]]}')
  with pytest.raises(ValueError, match=r'for boxes; .* tasks depth, points'):
    queries.read(str(path), ['depth', 'points'])
  with pytest.raises(ValueError, match='does not exist'):
    queries.read(str(tmp_path / 'no.json'), ['points'])
