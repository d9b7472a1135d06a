"""Mistakes in a compiled step are found by what they send."""

from launch import recipe
from launch.plan.hlo import mistakes, summary
from launch.plan.hlo.collectives import Collective
from launch.plan.hlo.timeline import Use
from train import mesh as mesh_lib


def use(kind, axes, shape, count=1):
  what = Collective(
    **{'kind': kind, 'axes': axes, 'group': 4, 'payload': 8.0},
    **{'shape': shape, 'links': 1, 'source': ''},
  )
  return Use(what, count, exposed=0.5, seconds=2.0)


def test_gradients_that_are_not_scattered_are_told():
  parameters = {4096: 'a layer of mlp/kernel'}
  found = mistakes.full_reductions(
    [
      use('all-reduce', 'replica+fsdp', 'f32[8] bf16[64,64]', 12),
      use('all-reduce', 'replica', 'bf16[64,64]'),
      use('reduce-scatter', 'fsdp', 'bf16[64,64]'),
      use('all-reduce', 'fsdp', 'bf16[64]'),
    ],
    parameters,
  )
  (line,) = found
  assert line.startswith('12 all-reduces over fsdp of bf16[64,64]')
  assert 'mlp/kernel' in line


def test_the_sizes_of_matrices(tiny_config):
  config = tiny_config()
  mesh = mesh_lib.make_abstract(8, **config['mesh'])
  found = mistakes.parameter_elements(recipe.program(config, mesh))
  # Three layers of width 16 and MLP 32, split over two tensor shards.
  assert found[16 * 32 // 2].startswith('a layer of processor/layers/mlp/')
  assert found[3 * 16 * 32 // 2].startswith('processor/layers/mlp/')
  assert 16 not in found  # vectors are not sharded


def test_alike_collectives_are_one_row():
  rows = summary.table(
    [
      use('all-gather', 'fsdp', 'f32[2]'),
      use('all-reduce', 'fsdp', 'f32[2]', 2),
      use('all-gather', 'fsdp', 'f32[2]', 3),
    ]
  )
  assert [row['kind'] for row in rows] == ['all-gather', 'all-reduce']
  assert (rows[0]['count'], rows[0]['bytes']) == (4, 32)
  assert (rows[0]['seconds'], rows[0]['exposed_sec']) == (4.0, 1.0)
