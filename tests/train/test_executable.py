"""A restart loads the step that was compiled, and nothing else."""

import importlib.metadata
import json
import shutil
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from base import exits
from launch import recipe
from launch.bench.running import running
from models import objective as objective_lib
from train import chips, executable, loop, stop
from train import mesh as mesh_lib
from train.checkpoint import Checkpoints


@pytest.fixture
def machine(tmp_path):
  """One that has nothing compiled; its folder of compiled steps."""
  name, folder = 'jax_compilation_cache_dir', tmp_path / 'machine'
  before = jax.config.values[name]
  with executable.without_cache():
    jax.config.update(name, str(folder))
    yield folder / 'steps'
    jax.config.update(name, before)


@pytest.fixture
def compiled_programs(monkeypatch):
  """Names of what is compiled from here on; `options` has what with."""

  class Names(list):
    options = None

  names = Names()
  compile_ = jax.stages.Lowered.compile

  def noted(self, compiler_options):
    names.append(self.as_text().split('@')[1].split(' ')[0])
    names.options = compiler_options
    return compile_(self, compiler_options=compiler_options)

  monkeypatch.setattr(jax.stages.Lowered, 'compile', noted)
  return names


def head(folder):
  path = executable.path_of(str(folder))
  with open(path, 'rb') as file:
    return json.loads(file.readline())


def test_a_restarted_run_loads_its_step_and_goes_on_the_same(
  tiny_config, tmp_path, monkeypatch, machine, compiled_programs, capsys
):
  def run(workdir, **changes):
    config = tiny_config(
      **{'steps': 4, 'eval.every': 0, 'model.scan': True, **changes}
    )
    objective = objective_lib.make(**config['model'])
    return loop.run(config, objective, str(workdir))

  whole = run(tmp_path / 'whole')
  assert compiled_programs == ['jit_train_step']
  assert not (tmp_path / 'whole/compiled').exists()
  with monkeypatch.context() as stopped:
    stopped.setattr(stop.StopRequest, 'requested', lambda _, step: step == 2)
    with pytest.raises(exits.Again):
      run(tmp_path / 'cut', **{'compile.keep': True})
  assert compiled_programs == ['jit_train_step'] * 2
  capsys.readouterr()
  shutil.rmtree(machine)
  resumed = run(tmp_path / 'cut', **{'compile.keep': True})
  assert compiled_programs == ['jit_train_step'] * 2
  assert 'compiled step is loaded in' in capsys.readouterr().out
  jax.tree.map(
    np.testing.assert_array_equal,
    jax.device_get(resumed),
    jax.device_get(whole),
  )
  # The planner's program is the run's, so that its compiled step can be loaded.
  config = tiny_config(**{'steps': 4, 'model.scan': True})
  mesh = mesh_lib.make(**config['mesh'])
  planned = recipe.program(config, mesh).lower()
  assert executable.identity(planned, mesh, {}) == head(tmp_path / 'cut')['of']


@pytest.mark.slow
def test_options_of_the_recipe_reach_the_compiler(
  tiny_config, tmp_path, monkeypatch, machine, compiled_programs, capsys
):
  given = {'xla_cpu_enable_fast_math': True}
  row = chips.Chip(
    kinds=(jax.devices()[0].device_kind,),
    tflops=1.0,
    compiler_options={
      'xla_cpu_enable_fast_math': False,
      'xla_cpu_enable_fast_min_max': True,
    },
  )
  monkeypatch.setitem(chips.CHIPS, 'this', row)
  whole = dict(row.compiler_options) | given
  # A step is made, and stops the run.
  monkeypatch.setattr(stop.StopRequest, 'requested', lambda *_: True)

  def run(**changes):
    config = tiny_config(
      **{'model.scan': True, 'compile.keep': True, **changes}
    )
    with pytest.raises(exits.Again):
      loop.run(config, objective_lib.make(**config['model']), str(tmp_path))
    return config

  config = run(**{'compile.options': given})
  assert compiled_programs.options == whole
  assert json.loads(head(tmp_path)['of']['compiler options']) == whole
  # They are not what a run computes: it goes on with others, compiled anew.
  capsys.readouterr()
  run()
  assert compiled_programs == ['jit_train_step'] * 2
  assert compiled_programs.options == row.compiler_options
  said = capsys.readouterr().out
  assert 'goes on at step 1' in said
  assert 'is of another step, and compiled anew: compiler options: {' in said
  # What is timed without a run has them too.
  running(recipe.program(config, mesh_lib.make(**config['mesh'])))
  assert compiled_programs.options == whole


@pytest.fixture
def step(tmp_path, machine):
  """A function that compiles x -> factor x + sum(x) as a run would."""

  def make(factor=2.0, mesh=None, options=None, run='.', is_new=True):
    if is_new:  # on another machine than before
      shutil.rmtree(machine, ignore_errors=True)
    left = []
    mesh = mesh or mesh_lib.make(fsdp=4, tensor=2)
    place = NamedSharding(mesh, PartitionSpec('fsdp'))
    x = jax.device_put(jnp.arange(8.0), place)
    lowered = jax.jit(
      lambda x: factor * x + x.sum(), donate_argnums=0, out_shardings=place
    ).lower(x)
    compiled = executable.compile_step(
      *(lowered, mesh, str(tmp_path / run)),
      options=options or {},
      keep=True,
      later=left.append,
    )
    result = compiled(x)
    for function in left:
      function()
    return result

  return make


EXPECTED = 2.0 * np.arange(8) + 28


def test_what_is_of_another_step_is_compiled_anew(
  step, tmp_path, monkeypatch, compiled_programs, capsys
):
  def said(why, *, compiles, **options):
    before = len(compiled_programs)
    result = step(**options)
    assert len(compiled_programs) - before == compiles
    assert why in capsys.readouterr().out
    return np.asarray(result)

  np.testing.assert_array_equal(said('', compiles=1), EXPECTED)
  np.testing.assert_array_equal(said('is loaded', compiles=0), EXPECTED)
  changed = said('another step', compiles=1, factor=3.0)
  np.testing.assert_array_equal(changed, EXPECTED + np.arange(8))
  said('is loaded', compiles=0, factor=3.0)
  said('of another step, and compiled anew: program: ', compiles=1)
  # The same devices in another order.
  mesh = mesh_lib.make(fsdp=4, tensor=2)
  turned = jax.sharding.Mesh(
    mesh.devices[:, ::-1], mesh.axis_names, axis_types=mesh.axis_types
  )
  result = said('devices: 8 x cpu', compiles=1, mesh=turned)
  np.testing.assert_array_equal(result, EXPECTED)
  np.testing.assert_array_equal(
    said('is loaded', compiles=0, mesh=turned), EXPECTED
  )
  fast = {'xla_cpu_enable_fast_math': True}
  said('compiler options: {} there', compiles=1, mesh=turned, options=fast)
  with monkeypatch.context() as set_:
    set_.setenv('LIBTPU_INIT_ARGS', '--x=1')
    said('LIBTPU_INIT_ARGS:  there, --x=1 now', compiles=1)
  with monkeypatch.context() as set_:
    set_.setattr(importlib.metadata, 'version', lambda name: '0.0.1')
    said('jaxlib: ', compiles=1)
  with jax.default_matmul_precision('float32'):
    # In the text of a program, if it has products; this one has none.
    said('jaxlib: ', compiles=1)
    said('is loaded', compiles=0)
  with monkeypatch.context() as set_:
    set_.setattr(executable, '_instructions', lambda: 'flags: sse4')
    said('devices: 8 x cpu', compiles=1)


def test_a_new_run_has_the_step_of_another_one_of_its_machine(
  step, tmp_path, machine, compiled_programs, capsys
):
  step(run='first')
  (kept,) = machine.iterdir()
  capsys.readouterr()
  np.testing.assert_array_equal(step(run='second', is_new=False), EXPECTED)
  assert f'{kept}: the compiled step is loaded' in capsys.readouterr().out
  assert len(compiled_programs) == 1
  # Which goes with the run.
  np.testing.assert_array_equal(step(run='second'), EXPECTED)
  assert len(compiled_programs) == 1
  # Another program has a file of its own.
  step(run='third', factor=3.0, is_new=False)
  assert len(compiled_programs) == 2


def test_what_comes_out_of_jaxs_cache_is_not_saved_again(
  step, tmp_path, monkeypatch, capsys
):
  compile_ = jax.stages.Lowered.compile

  def had(self, compiler_options):
    jax.monitoring.record_event(executable._HIT)
    return compile_(self, compiler_options=compiler_options)

  monkeypatch.setattr(jax.stages.Lowered, 'compile', had)
  np.testing.assert_array_equal(step(), EXPECTED)
  assert 'is not kept: it is in the compilation' in capsys.readouterr().out
  assert not (tmp_path / 'compiled').exists()


@pytest.mark.parametrize('keep', [0, 1, 300, -1])
def test_a_broken_file_is_said_and_replaced(
  step, tmp_path, keep, compiled_programs, capsys
):
  step()
  path = tmp_path / 'compiled/train_step'
  whole = path.read_bytes()
  path.write_bytes(whole[:keep])
  np.testing.assert_array_equal(step(), EXPECTED)
  assert 'is broken, and compiled anew' in capsys.readouterr().out
  np.testing.assert_array_equal(step(), EXPECTED)
  assert 'is loaded' in capsys.readouterr().out
  assert len(compiled_programs) == 2


def test_what_the_backend_refuses_is_compiled_anew(
  step, tmp_path, monkeypatch, compiled_programs, capsys
):
  step()

  def refuse(*_, **__):
    raise jax.errors.JaxRuntimeError('INTERNAL: not of this compiler')

  monkeypatch.setattr(
    executable.serialize_executable, 'deserialize_and_load', refuse
  )
  np.testing.assert_array_equal(step(), EXPECTED)
  assert 'is refused, and compiled anew: INTERNAL' in capsys.readouterr().out
  assert len(compiled_programs) == 2


def test_what_cannot_be_saved_is_said(step, tmp_path, monkeypatch, capsys):
  def refuse(compiled):
    raise NotImplementedError('serialize_executables with const_args')

  monkeypatch.setattr(executable.serialize_executable, 'serialize', refuse)
  np.testing.assert_array_equal(step(), EXPECTED)
  assert 'is not kept: serialize_exec' in capsys.readouterr().out
  assert not (tmp_path / 'compiled').exists()


@pytest.mark.slow
def test_a_run_that_goes_on_compiles_while_it_restores(
  tiny_config, tmp_path, monkeypatch
):
  """Either waits for the other's begin: one after the other would end."""
  config = tiny_config(**{'steps': 4, 'eval.every': 0})
  objective = objective_lib.make(**config['model'])
  with monkeypatch.context() as stopped:
    stopped.setattr(stop.StopRequest, 'requested', lambda _, step: step == 2)
    with pytest.raises(exits.Again):
      loop.run(config, objective, str(tmp_path))
  restores, compiles = threading.Event(), threading.Event()
  restore, compile_step = Checkpoints.restore, executable.compile_step

  def restoring(*args):
    restores.set()
    assert compiles.wait(60)
    return restore(*args)

  def compiling(*args, **options):
    compiles.set()
    assert restores.wait(60)
    return compile_step(*args, **options)

  monkeypatch.setattr(Checkpoints, 'restore', restoring)
  monkeypatch.setattr(executable, 'compile_step', compiling)
  assert int(loop.run(config, objective, str(tmp_path)).step) == 4


def test_what_goes_wrong_beside_a_compilation_does_not_wait_for_it(monkeypatch):
  over = threading.Event()
  monkeypatch.setattr(executable.command, '_at_once', False)
  with (
    pytest.raises(ValueError, match='damaged'),
    executable.meanwhile(over.wait),
  ):
    raise ValueError('damaged')
  assert executable.command._at_once
  over.set()


def test_what_goes_wrong_in_a_compilation_is_told_to_who_waits():
  def fails():
    raise ValueError('no such option')

  with (
    pytest.raises(ValueError, match='no such option'),
    executable.meanwhile(fails) as compiled,
  ):
    compiled.result()
