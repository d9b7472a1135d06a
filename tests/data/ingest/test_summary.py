"""What says that a shard is finished is looked at before it is believed."""

import json

import pytest

from data.ingest import steps

KEPT = {'name': 'a', 'source': 'a' * 64, 'frames': [3], 'seconds': 1, 'lost': 0}
MADE = {'shard': 0, 'records': 1, 'bytes': 3, 'sha256': 'b', 'videos': [KEPT]}


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    ({'shard': 1}, 'is of shard 1'),
    ({'records': -1}, 'records is -1, expected 0 or more'),
    ({'bytes': -3}, 'bytes is -3, expected 0 or more'),
    ({'videos': [KEPT | {'source': '../x'}]}, r"the source '\.\./x', expected"),
    ({'videos': [KEPT | {'frames': [2**40]}]}, 'has .1099511627776. frames'),
    ({'videos': [KEPT | {'frames': [-1]}]}, 'frames: 0 is -1, expected 0'),
  ],
)
def test_a_summary_that_is_wrong_is_refused(tmp_path, change, said):
  steps.summary(tmp_path, 0).write_text(json.dumps(MADE))
  assert steps.read_summary(tmp_path, 0)['videos'] == [KEPT]
  steps.summary(tmp_path, 0).write_text(json.dumps(MADE | change))
  with pytest.raises(ValueError, match=rf'{said}.*; delete it'):
    steps.read_summary(tmp_path, 0)
