"""Rows of the ladder are layouts of the repository, and those can work."""

import json

import pytest

from configs import common
from launch import recipe
from launch.ladder.rows import ladder
from launch.plan import topology

SIZES = ['S', 'B', 'L', 'H', 'G', 'e', 'j', 'MooG']


@pytest.mark.parametrize('row', ladder(), ids=lambda row: row.name)
def test_shapes_allow_every_row(row):
  config, slice_ = row.config(), topology.parse(row.topology)
  mesh = slice_.abstract_mesh(**config['mesh'])
  made = recipe.program(config, mesh)
  assert made.mesh.size == slice_.chips
  assert made.batch['video'].shape[0] == row.batch


def test_rows_are_by_size_and_every_size_is_on_three_generations():
  assert list(dict.fromkeys(row.size for row in ladder())) == SIZES
  for size in SIZES:
    found = {r.topology.split(':')[0] for r in ladder() if r.size == size}
    assert len(found) >= 3


def test_every_layout_of_these_sizes_is_a_row_with_its_own_batch():
  known = json.loads(common.LAYOUTS.read_text())
  for size in SIZES:
    layouts = known['moog.movi_e' if size == 'MooG' else f'mae.{size}']
    expected = {key: each['data.batch_size'] for key, each in layouts.items()}
    # Of several batches on a slice, the layout's is the last.
    assert {r.topology: r.batch for r in ladder() if r.size == size} == expected


def test_one_layout_is_compiled_at_two_batches():
  rows = [r for r in ladder() if (r.size, r.topology) == ('j', 'v5p:8x8x8')]
  assert [row.batch for row in rows] == [4096, 8192]
  small, large = (row.config() for row in rows)
  assert small.pop('data') | {'batch_size': 8192} == large.pop('data')
  assert small == large
