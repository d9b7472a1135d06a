"""The TPU's compiler, where there is one, takes what it is given."""

import os

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from launch.plan import compiled, topology
from train import chips
from train import mesh as mesh_lib


def test_what_the_compiler_says_of_too_little_memory():
  error = compiled.OutOfMemoryError(
    'RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, '
    'the total memory required for HLO temporaries (16.00G) exceeds available '
    'HBM (15.75G). HLO module: jit_f.'
  )
  assert error.needed == 16 * 2**30
  assert error.limit == 15.75 * 2**30
  assert error.largest == []


def test_the_other_form_lists_the_largest_buffers():
  error = compiled.OutOfMemoryError(
    'RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.50G of '
    '15.75G hbm. Exceeded hbm capacity by 4.75G.\n\n'
    'Largest program allocations in hbm:\n\n'
    '  1. Size: 1.50G\n     Operator: op_name="jit(f)"\n'
    '     Shape: f32[4096,98304]{1,0:T(8,128)}\n     Unpadded size: 1.50G\n'
    '  2. Size: 512.00M\n     Shape: bf16[16384,16384]{1,0}\n'
  )
  assert error.needed == 20.5 * 2**30
  assert error.limit == 15.75 * 2**30
  assert error.largest == [
    '1.50G f32[4096,98304]',
    '512.00M bf16[16384,16384]',
  ]


def test_what_is_said_on_stderr_is_kept(capfd):

  with topology.stderr_lines() as lines:
    os.write(2, b'one\ntwo\n')
  assert lines == ['one', 'two']
  assert capfd.readouterr().err == ''


class Step:
  """A product of matrices, in place of a training step."""

  def __init__(self, mesh, width):
    self.mesh = mesh
    self.width = width

  def lower(self):
    place = NamedSharding(self.mesh, PartitionSpec('fsdp'))
    shape = (self.width, self.width)
    x = jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=place)
    return jax.jit(lambda x: jnp.tanh(x @ x)).lower(x)


TPUS = [name for name, chip in chips.CHIPS.items() if chip.torus_axes]


@pytest.mark.slow
@pytest.mark.parametrize('generation', TPUS)
def test_every_generation_takes_its_options_and_has_its_memory(
  generation, tpu_compiler
):
  chip = chips.CHIPS[generation]
  shape = (2, 2, 1)[: chip.torus_axes]
  small = topology.Topology(generation, shape)
  devices = small.devices()
  assert len(devices) == 4
  assert chips.of_device(devices[0]) is chip
  mesh = mesh_lib.make(devices=devices)
  made = compiled.compile_step(Step(mesh, 1024), small)
  assert 'ENTRY' in made.text
  assert made.bytes['peak'] > 0
  with pytest.raises(compiled.OutOfMemoryError) as caught:
    compiled.compile_step(Step(mesh, 2**19), small)
  assert caught.value.limit == pytest.approx(chip.hbm_gib * 2**30, rel=1e-3)
  assert caught.value.needed > caught.value.limit
