"""One recipe on several slices."""

import functools

import pytest

from configs import mae
from launch.plan import estimate
from launch.plan.compare import table
from launch.plan.topology import parse


def test_what_it_costs_where_and_where_it_cannot_be():
  config = mae.get_config('size=L,batch_size=96').to_dict()
  slices = [parse(name) for name in ('v5e:4x4', 'v5p:2x2x4', 'v5e:8x8')]
  plan = functools.partial(estimate.plan, shapes_only=True, assumed_mfu=0.5)
  rows = table.rows(config, slices, plan)
  # Both have 16 chips: at one share of the peak, days are as the peaks.
  days = [row['estimates']['MFU 0.5 assumed']['days'] for row in rows[:2]]
  assert abs(days[0] / days[1] - 459 / 197) < 1e-6
  assert 'refused' not in rows[0]
  assert 'data.batch_size=96' in rows[2]['refused']
  lines = table.text(rows).splitlines()
  assert lines[1].startswith('v5e:4x4')
  assert 'must be divisible by the 64 data shards' in lines[3]
  assert 'nothing was compiled (--shapes_only)' in lines[4]


def test_more_chips_with_as_many_clips_each():
  config = mae.get_config('size=L,batch_size=96').to_dict()
  config['mesh']['replica'] = 2
  slices = [parse(name) for name in ('v5e:4x4', 'v5e:2x4', '3xv5e:4x4')]
  plan = functools.partial(estimate.plan, shapes_only=True)
  rows = table.rows(config, slices, plan, same_per_chip=True)
  for row, times in zip(rows, (1, 0.5, 3)):
    assert (row['mesh']['replica'], row['mesh']['fsdp']) == (2 * times, 8)
    assert row['batch_size'] == 96 * times
  assert [row['bytes_by_formula'] for row in rows[1:]] == [
    rows[0]['bytes_by_formula']
  ] * 2
  rows[2]['estimates']['MFU 0.4 assumed']['step_sec'] *= 1.07
  lines = table.text(rows).splitlines()
  assert lines[1].endswith(
    f'{rows[0]["estimates"]["MFU 0.4 assumed"]["chip_hours"]:.0f}'
  )
  assert lines[2].endswith(' +0.0%')
  assert lines[3].endswith(' +7.0%')
  odd = [*slices[:1], parse('v5e:2x2')]
  refused = table.rows(config, odd, plan, same_per_chip=True)[1]['refused']
  assert 'config.mesh.replica=2 on 16 chips is no whole number on 4' in refused


def test_each_slice_laid_out_as_is_known_of_it():
  config = mae.get_config('size=j,batch_size=1024').to_dict()
  slices = [parse(name) for name in ('v6e:16x16', 'v4:8x8x8', 'v5e:16x16')]
  plan = functools.partial(estimate.plan, shapes_only=True)
  *known, other = table.rows(config, slices, plan, own_layouts=True)
  for row, slice_ in zip(known, slices):
    recipe = f'size=j,topology={slice_.name},batch_size=1024'
    own = mae.get_config(recipe).to_dict()
    expected = dict(slice_.abstract_mesh(**own['mesh']).shape)
    assert row['mesh'] == expected
    assert row['batch_size'] == 1024
  assert known[0]['mesh'] != known[1]['mesh']
  assert 'no layout of mae.j' in other['refused']


def test_layouts_of_a_recipe_that_has_none_are_refused_at_once():
  config = mae.get_config('size=L,batch_size=96').to_dict()
  config['model']['name'] = 'distill'
  with pytest.raises(ValueError, match='layouts by topology, got a recipe of'):
    table.rows(config, [parse('v5e:4x4')], None, own_layouts=True)
