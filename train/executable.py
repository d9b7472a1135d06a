"""The compiled step of a run on disk: a restart loads what was compiled.

WORKDIR/compiled/train_step is one line of JSON, which says what the step is of,
and behind it what `jax.experimental.serialize_executable` makes. The step is
traced and lowered at every start, and its text compared: nothing that is not
this very program, for these devices, by these versions, is loaded. JAX's
compilation cache does the same for all programs of a machine; this one goes
where the checkpoints go, and can come from `launch.plan.precompile`, as
MaxText's `train_compile` has it. The same file lies in `steps/` of that cache,
from where a new run has it: what comes out of JAX's cache cannot be saved again
on CPUs.

Loading runs what the file says, as importing a module does: a folder with one
is to be trusted like code.
"""

import contextlib
import hashlib
import json
import math
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any

import jax
from jax._src.config import persistent_cache_min_compile_time_secs
from jax.experimental import serialize_executable
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import Mesh

from base import command, files, jsons
from base.console import say
from train import chips
from train import workdir as workdir_lib

_PACKAGES = ('jax', 'jaxlib', 'libtpu')
# What JAX tells of a program that its compilation cache has.
_HIT = '/jax/compilation_cache/cache_hits'
_VARIABLES = ('XLA_FLAGS', 'LIBTPU_INIT_ARGS')
# Of JAX's own options, those that the compiler is told and no text shows.
_SETTINGS = (
  'jax_compiler_enable_remat_pass',
  'jax_disable_most_optimizations',
  'jax_exec_time_optimization_effort',
  'jax_memory_fitting_effort',
  'jax_memory_fitting_level',
  'jax_optimization_level',
  'jax_xla_profile_version',
)


def compile_step(
  lowered: jax.stages.Lowered,
  mesh: Mesh,
  workdir: str,
  *,
  keep: bool,
  options: Mapping[str, bool | str],
  later: Callable[[Callable[[], None]], None],
) -> jax.stages.Compiled:
  """The compiled step: of the run's folder, if it is there, else compiled now.

  Args:
    lowered: the step, traced and lowered for the mesh.
    mesh: where it runs.
    workdir: the run's folder, which all processes see.
    keep: save what is compiled, and load what was saved. What cannot be loaded
      or saved is said, and is no error.
    options: of the compiler, over those of its chips: see
      `train.chips.compiler_options`.
    later: is given what is left to do, which no step need wait for.
  """
  # Of the mesh, which may be of chips that are not here.
  chip = chips.of_device(mesh.devices.flat[0])
  options = chips.compiler_options(chip, options)
  if not keep:
    return lowered.compile(compiler_options=options)
  this = identity(lowered, mesh, options)
  # Looked at after lowering, which tells what program this is; a restart saves
  # the compiler's time, not the tracing.
  path, stored = path_of(workdir), _stored(this)
  loaded = _load(lowered, mesh, path, this)
  if loaded is not None:
    return loaded
  if stored and (loaded := _load(lowered, mesh, stored, this)):
    if not jax.process_index():
      later(lambda: _write(files.read_bytes(stored), path))
    return loaded
  # JAX need not save it too. There is no public way for one thread alone.
  with _noting_hits() as hits, persistent_cache_min_compile_time_secs(math.inf):
    compiled = lowered.compile(compiler_options=options)
  if hits:
    say('the compiled step is not kept: it is in the compilation cache')
  elif not jax.process_index():  # one file is for all, as in JAX's cache
    content = _rendered(compiled, this)
    later(lambda: _write(content, path, stored))
  return compiled


@contextlib.contextmanager
def meanwhile(
  compiled: Callable[[], jax.stages.Compiled],
) -> Iterator[futures.Future]:
  """Inside, a thread compiles; what is given has the result, or the error.

  Args:
    compiled: makes it, by `compile_step`.
  """
  future = futures.Future()

  def make():
    try:
      future.set_result(compiled())
    except Exception as error:  # whatever it is, who waits raises it
      future.set_exception(error)

  # Nothing ends a compiler on its way, which may take minutes: not even the end
  # of the process waits for it.
  threading.Thread(target=make, name='compile', daemon=True).start()
  try:
    yield future
  finally:
    if not future.done():
      command.leave_at_once()


def path_of(workdir: str) -> str:
  """Where a run keeps its compiled step."""
  return os.fspath(files.path(workdir) / 'compiled' / 'train_step')


def identity(
  lowered: jax.stages.Lowered, mesh: Mesh, options: Mapping[str, Any]
) -> dict[str, str]:
  """All that decides a compiled program, by what it is called."""
  devices = mesh.devices.flatten().tolist()
  first = devices[0]
  places = [
    (
      each.id,
      each.process_index,
      *(getattr(each, name, None) for name in ('coords', 'slice_index')),
      getattr(each, 'core_on_chip', None),
    )
    for each in devices
  ]
  # Code for AVX-512 would end a process on a CPU without it.
  if first.platform == 'cpu':
    places.append(_instructions())
  return {
    'program': _digest(lowered.as_text()),
    'devices': f'{len(devices)} x {first.device_kind}, {_digest(str(places))}',
    'compiler options': json.dumps(dict(options), sort_keys=True),
    **dict.fromkeys(_PACKAGES, ''),  # libtpu, away from TPUs
    **workdir_lib.versions(_PACKAGES),
    **{name: os.environ.get(name, '') for name in _VARIABLES},
    **{name: str(jax.config.values[name]) for name in _SETTINGS},
  }


def save(
  compiled: jax.stages.Compiled, path: str, this: Mapping[str, str]
) -> None:
  """Writes a step; says so where JAX cannot.

  Args:
    compiled: the step, which has not run yet: on CPUs what sorts cannot be
      saved when it has.
    path: of the file.
    this: its `identity`.
  """
  _write(_rendered(compiled, this), path)


def _rendered(compiled: jax.stages.Compiled, this: Mapping[str, str]) -> bytes:
  """What a file holds; nothing where JAX cannot save a step, which is said."""
  try:
    payload, _, _ = serialize_executable.serialize(compiled)
  # Of backends without it, and of programs with constants as arguments.
  except (ValueError, NotImplementedError, jax.errors.JaxRuntimeError) as error:
    say(f'the compiled step is not kept: {error}')
    return b''
  head = {'of': dict(this), 'sha256': hashlib.sha256(payload).hexdigest()}
  return json.dumps(head).encode() + b'\n' + payload


def _write(content: bytes, *paths: str) -> None:
  """Writes it wherever it is to lie; '' is nowhere."""
  for path in filter(None, paths if content else ()):
    files.make_parents(path)
    files.write(path, content)


def _stored(this: Mapping[str, str]) -> str:
  """Where a step of any run of this machine is kept; '': nowhere."""
  folder = jax.config.values['jax_compilation_cache_dir']
  name = _digest(json.dumps(dict(this), sort_keys=True))
  return os.path.join(folder, 'steps', name) if folder else ''


@contextlib.contextmanager
def _noting_hits() -> Iterator[list[str]]:
  """Inside, each program that this thread has from JAX's cache is in the list.

  On CPUs such a program lacks its kernels when it is saved again: it would
  load, and fail at the first step.
  """
  hits, here = [], threading.get_ident()

  def note(event: str, **unused) -> None:
    if event == _HIT and threading.get_ident() == here:
      hits.append(event)

  jax.monitoring.register_event_listener(note)
  try:
    yield hits
  finally:
    jax.monitoring.unregister_event_listener(note)


@contextlib.contextmanager
def without_cache() -> Iterator[None]:
  """Inside, programs are compiled, and not read from JAX's cache.

  Those for chips that are not here cannot be read back.
  """
  name = 'jax_enable_compilation_cache'
  before = jax.config.values[name]
  jax.config.update(name, False)
  compilation_cache.reset_cache()  # JAX looks at the option once
  try:
    yield
  finally:
    jax.config.update(name, before)
    compilation_cache.reset_cache()


def _load(lowered, mesh, path, this) -> jax.stages.Compiled | None:
  """The step in a file; None, with a line that says why, if it is not to be."""
  began = time.perf_counter()
  if not files.exists(path):
    return None
  head, _, payload = files.read_bytes(path).partition(b'\n')
  try:
    kind = {'of': dict, 'sha256': str}
    head = jsons.expect(jsons.parse(head), kind, str(path), '')
    of, digest = head['of'], head['sha256']
  except ValueError:  # not JSON, or other JSON
    of, digest = {}, None
  # Before it is given to the backend, which runs what it is given.
  if hashlib.sha256(payload).hexdigest() != digest:
    say(f'{path} is broken, and compiled anew')
    return None
  differs = [
    f'{name}: {of.get(name)} there, {now} now'
    for name, now in this.items()
    if of.get(name) != now
  ]
  if differs:
    say(f'{path} is of another step, and compiled anew: {"; ".join(differs)}')
    return None
  try:
    loaded = serialize_executable.deserialize_and_load(
      payload,
      lowered.in_tree,
      lowered.out_tree,
      execution_devices=mesh.devices.flatten().tolist(),
    )
  except jax.errors.JaxRuntimeError as error:
    say(f'{path} is refused, and compiled anew: {error}')
    return None
  took = time.perf_counter() - began
  say(f'{path}: the compiled step is loaded in {took:.1f} s')
  return loaded


def _digest(text: str) -> str:
  # 64 bits: a mix-up by chance is not to be expected.
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def _instructions() -> str:
  """What this machine's CPU can do, for which code is made; else its name."""
  try:
    with open('/proc/cpuinfo') as file:
      lines = {line for line in file if line.startswith(('flags', 'Features'))}
  except FileNotFoundError:
    lines = set()
  return ''.join(sorted(lines)) or platform.node()


def options_of_programs_run_once() -> dict[str, int | bool]:
  """Compiler options for initialisation and the like.

  On a CPU, LLVM would spend 10 s on the random numbers of a small model that
  take 0.1 s to draw; and half of what is left is of MLIR, by which fusions are
  made.
  """
  if jax.default_backend() != 'cpu':
    return {}
  return {
    'xla_backend_optimization_level': 0,
    'xla_cpu_use_fusion_emitters': False,
  }
