"""Eight simulated devices for every test, whatever the machine has."""

import gc
import importlib.util
import json
import os
import pathlib
import signal
import uuid

os.environ['JAX_PLATFORMS'] = 'cpu'
# Tests compile much and compute little: without optimisation it takes a
# sixth of the time. Pieces that threads could compile beside each other cost
# more, and another worker has the other core: in one piece it is an eighth to a
# fifth less.
os.environ['XLA_FLAGS'] = ' '.join(
  (
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=8',
    '--xla_backend_optimization_level=0',
    '--xla_cpu_use_fusion_emitters=false',
    '--xla_cpu_parallel_codegen_split_count=1',
  )
)

import jax
import pytest

from launch import emulator

# Started by a script in the background, or by nohup, a process ignores Ctrl-C
# or SIGHUP, and so do all that it starts: tests that send them would wait for
# ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
  signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
  signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Wherever pytest is started: commands that tests start find rooms and recipes.
_ROOT = pathlib.Path(__file__).parents[1]
os.chdir(_ROOT)
# What they keep for the next run is kept beside the code, not in the home of
# who runs the tests, nor read from there. Each worker of xdist has its own: JAX
# writes entries in place, and another could read half.
_cache = _ROOT / '.cache' / os.environ.get('PYTEST_XDIST_WORKER', 'alone')
_cache.joinpath('home').mkdir(parents=True, exist_ok=True)
os.environ['HOME'] = str(_cache / 'home')
os.environ.pop('XDG_CACHE_HOME', None)
# Tests share compiled programs, with each other and with the last run.
jax.config.update('jax_compilation_cache_dir', str(_cache / 'xla'))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)


# Tracing makes objects by the million, of which few are circles: looking for
# those after every 700 is a sixth of it.
gc.set_threshold(20_000, 10, 10)


def pytest_collection_finish():
  """What is there before the first test stays: nothing to look for."""
  gc.freeze()


@pytest.fixture
def tpu_compiler(monkeypatch):
  """The compiler of TPUs can be used in this process; skips without it."""
  if importlib.util.find_spec('libtpu') is None:
    pytest.skip('libtpu is not installed: pip install --group tpu')
  # It ends the process at options for CPUs that it does not know.
  monkeypatch.delenv('XLA_FLAGS', raising=False)


@pytest.fixture(scope='session')
def object_store(tmp_path_factory):
  """An object store on this machine: the variables that lead to it."""
  if emulator.missing():
    pytest.skip(f'not installed: {emulator.missing()}')
  log = tmp_path_factory.mktemp('store') / 'log'
  with emulator.started(log) as variables, pytest.MonkeyPatch.context() as here:
    for name, value in variables.items():
      here.setenv(name, value)  # tensorstore in this process reads them too
    yield variables


@pytest.fixture
def bucket(object_store):
  """A folder of that store which is this test's: gs://..."""
  return f'gs://{emulator.BUCKET}/{uuid.uuid4().hex}'


@pytest.fixture(scope='module')
def shared_programs():
  """Runs of this module that compute the same trace and compile it once.

  A program is made anew for what it is made of: model, optimizer, seed, shapes
  and mesh. Not for tests that replace a part of it, or watch it be compiled.
  """
  from train import program as program_lib
  from train import step as step_lib

  make, made = program_lib.make, {}
  make_pictures, drawings, kept = step_lib.make_pictures, {}, []
  # Sections that say how a run goes on, and not what its step is.
  others = ('checkpoint', 'data', 'eval', 'health')
  others += ('init_from', 'init_parts', 'log', 'skips', 'watchdog')

  def shared(config, objective, examples, mesh):
    own = {key: x for key, x in config.items() if key not in others}
    shapes = {key: (x.shape, f'{x.dtype}') for key, x in examples.items()}
    words = [
      type(objective).__name__,
      own,
      config['data']['batch_size'],
      shapes,
    ]
    key = json.dumps(words, sort_keys=True, default=str), mesh
    if key not in made:
      made[key] = make(config, objective, examples, mesh)
    return made[key]

  def shared_pictures(objective, **options):
    key = id(objective), json.dumps(options)
    if key not in drawings:
      drawings[key] = make_pictures(objective, **options)
      kept.append(objective)
    return drawings[key]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(program_lib, 'make', shared)
    patch.setattr(step_lib, 'make_pictures', shared_pictures)
    yield


@pytest.fixture(scope='session')
def tiny_config():
  """A function that makes the config of a run of seconds, with changes.

  `tiny_config(**{'optim.lr': 1e-2})` sets one value in its section.
  """
  from configs import quickstart

  def make(**changes):
    config = quickstart.get_config('steps=6')
    frames, height, width = 4, 16, 24
    config.model.update(
      dim=16,
      depth=3,
      mlp=32,
      heads=2,
      frames=frames,
      height=height,
      width=width,
    )
    config.model.update(patch=(2, 4, 8), output_patch=(4, 8, 8), mask_ratio=0.5)
    config.data.update(batch_size=8, workers=0)
    config.data.sources.world.update(
      frames=frames,
      height=height,
      width=width,
      clips=24,
      validation_clips=16,
      test_clips=8,
      cache='',
    )
    config.optim.update(warmup_fraction=1 / 3, lr=3e-3)
    config.mesh.update(replica=2, fsdp=2, tensor=2)
    config.checkpoint.update(every=3)
    config.eval.update(every=3, batches=1, pictures=2)
    config.log.update(every=1, tensorboard=False)
    config.compile.update(keep=False)
    config.update_from_flattened_dict(changes)
    return config.to_dict()

  return make
