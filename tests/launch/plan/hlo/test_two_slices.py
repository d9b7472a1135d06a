"""What the compiler writes between slices is read, and timed."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from launch.plan import compiler, topology
from launch.plan.hlo import collectives, parser, timeline
from train import mesh as mesh_lib


@pytest.mark.slow
def test_two_slices_reduce_over_the_network_between_them(tpu_compiler):
  two = topology.parse('2xv5e:2x2')
  devices = compiler.devices(two)
  assert {device.slice_index for device in devices} == {0, 1}
  mesh = mesh_lib.make(replica=2, fsdp=4, devices=devices)

  class Sum:
    compiler_options: ClassVar = {}

    def lower(self):
      place = NamedSharding(mesh, PartitionSpec(('replica', 'fsdp')))
      x = jax.ShapeDtypeStruct((8, 8192), jnp.float32, sharding=place)
      whole = NamedSharding(mesh, PartitionSpec())
      return jax.jit(lambda x: x.sum(0), out_shardings=whole).lower(x)

  made = compiler.compile_step(Sum(), two)
  reader = collectives.Reader(parser.parse(made.text), mesh, two)
  found = timeline.estimate(reader, 'roofline')
  (use,) = [use for use in found.uses if use.what.axes == collectives.DCN]
  assert (use.what.kind, use.what.group) == ('all-reduce', 2)
  # Each chip sends what it holds of the sum: a quarter, or all of it.
  assert use.what.payload in (8192, 4 * 8192)
  assert use.exposed > 0
