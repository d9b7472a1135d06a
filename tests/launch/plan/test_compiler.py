"""The TPU's compiler, where there is one, takes what it is given."""

import json
import os

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from launch.plan import compiler, topology
from train import chips, executable
from train import mesh as mesh_lib


def test_what_the_compiler_says_of_too_little_memory():
  error = compiler.OutOfMemoryError(
    'RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, '
    'the total memory required for HLO temporaries (16.00G) exceeds available '
    'HBM (15.75G). HLO module: jit_f.'
  )
  assert error.needed == 16 * 2**30
  assert error.limit == 15.75 * 2**30
  assert error.largest == []


def test_the_other_form_lists_the_largest_buffers():
  error = compiler.OutOfMemoryError(
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

  with compiler.stderr_lines() as lines:
    os.write(2, b'one\ntwo\n')
  assert lines == ['one', 'two']
  assert capfd.readouterr().err == ''


class Step:
  """A product of matrices, in place of a training step."""

  def __init__(self, mesh, width, options=None):
    self.mesh = mesh
    self.width = width
    self.compiler_options = options or {}

  def lower(self):
    place = NamedSharding(self.mesh, PartitionSpec('fsdp'))
    shape = (self.width, self.width)
    x = jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=place)
    return jax.jit(lambda x: jnp.tanh(x @ x)).lower(x)


def test_options_of_the_recipe_are_over_those_of_the_chips(monkeypatch):
  class Asked(Exception):
    pass

  def ask(self, compiler_options):
    raise Asked(compiler_options)

  monkeypatch.setattr(jax.stages.Lowered, 'compile', ask)
  slice_ = topology.parse('v5p:2x2x2')
  given = {'xla_enable_async_all_gather': 'false', 'xla_new': True}
  step = Step(mesh_lib.make(), 8, given)
  with pytest.raises(Asked) as caught:
    compiler.compile_step(step, slice_)
  (options,) = caught.value.args
  assert 'xla_new' not in slice_.chip.compiler_options
  assert {**slice_.chip.compiler_options, **given}.items() <= options.items()


@pytest.mark.parametrize(
  'message',
  [
    "INVALID_ARGUMENT: No such compile option: 'xla_new'",
    "INVALID_ARGUMENT: Failed to parse 'maybe' into flag xla_new: ",
  ],
)
def test_an_option_that_the_compiler_refuses_is_named(message, monkeypatch):
  def refuse(self, compiler_options):
    raise jax.errors.JaxRuntimeError(message)

  monkeypatch.setattr(jax.stages.Lowered, 'compile', refuse)
  step = Step(mesh_lib.make(), 8, {'xla_new': 'maybe'})
  with pytest.raises(ValueError, match=r'of --compiler_options, .*xla_new'):
    compiler.compile_step(step, topology.parse('v5p:2x2x2'))


TPUS = [name for name, chip in chips.CHIPS.items() if chip.torus_axes]


@pytest.mark.slow
@pytest.mark.parametrize('generation', TPUS)
def test_every_generation_takes_its_options_and_has_its_memory(
  generation, tpu_compiler, tmp_path
):
  chip = chips.CHIPS[generation]
  shape = (2, 2, 1)[: chip.torus_axes]
  small = topology.Topology(generation, shape)
  devices = compiler.devices(small)
  assert len(devices) == 4 * chip.devices
  assert chips.of_device(devices[0]) is chip
  mesh = mesh_lib.make(devices=devices)
  made = compiler.compile_step(Step(mesh, 1024), small, workdir=str(tmp_path))
  assert 'ENTRY' in made.text
  assert made.bytes['peak'] > 0
  path = executable.path_of(str(tmp_path))
  with open(path, 'rb') as file:
    of = json.loads(file.readline())['of']
  assert of['devices'].startswith(
    f'{len(devices)} x {devices[0].device_kind}, '
  )
  options = chips.compiler_options(chip)
  assert json.loads(of['compiler options']) == options
  with pytest.raises(compiler.OutOfMemoryError) as caught:
    compiler.compile_step(Step(mesh, 2**19), small)
  limit = chip.hbm_gib * 2**30 / chip.devices
  assert caught.value.limit == pytest.approx(limit, rel=1e-3)
  assert caught.value.needed > caught.value.limit


@pytest.mark.slow
def test_a_program_can_be_compiled_twice(tpu_compiler):
  small = topology.parse('v5e:2x2')
  mesh = mesh_lib.make(devices=compiler.devices(small))
  # JAX's cache would have the second, and could not read it.
  first, second = (
    compiler.compile_step(Step(mesh, 512), small) for _ in range(2)
  )
  assert 'ENTRY' in first.text
  assert 'ENTRY' in second.text
