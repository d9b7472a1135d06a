"""The TPU's compiler, libtpu: compiles a step for a slice that is not here."""

import contextlib
import dataclasses
import importlib.util
import os
import pathlib
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

import jax

from launch.plan.topology import Topology
from train import chips, executable, malloc
from train.program import Program

MISSING = 'libtpu is not installed: `pip install --group tpu`'
_WRONG_OPTION = r'No such compile option|Failed to parse .* into flag'
_SPILL = 'nvoluntary full rematerialization'


def prepare() -> None:
  """Sets up a process that compiles for chips that are not here.

  Chips that are here stay free. To be called before JAX starts its backend.
  """
  jax.config.update('jax_platforms', 'cpu')
  malloc.share()


def is_installed() -> bool:
  """Whether libtpu, which has the TPU compiler, is installed."""
  return importlib.util.find_spec('libtpu') is not None


def require() -> None:
  """For commands that make nothing without it.

  Raises:
    ValueError: it is not installed.
  """
  if not is_installed():
    raise ValueError(MISSING)


def devices(topology: Topology) -> Sequence[jax.Device]:
  """JAX's devices of a slice, to compile for; they hold no data.

  Raises:
    ValueError: the compiler knows no such slice.
  """
  from jax.experimental import topologies

  # Without these, libtpu asks a metadata server which is not there.
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
  os.environ.setdefault('TPU_WORKER_HOSTNAMES', 'localhost')
  # Nor does a process that compiles need the chips for itself.
  os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
  options = dict(topology.chip.topology_options)
  if topology.slices > 1:
    options['num_slices'] = topology.slices
  one = dataclasses.replace(topology, slices=1)
  try:
    with stderr_lines():  # of what it found out about this machine
      description = topologies.get_topology_desc(one.name, 'tpu', **options)
  except jax.errors.JaxRuntimeError as error:
    raise ValueError(
      f'--topology={topology.name} is no slice that the compiler knows: {error}'
    ) from error
  return description.devices


class OutOfMemoryError(Exception):
  """The compiler says that a program needs more memory than a chip has.

  Attributes:
    needed: bytes; 0 where the message does not tell.
    limit: bytes that a program may use; 0 likewise.
    largest: the largest buffers, as lines, where the message lists them.
  """

  def __init__(self, message: str):
    """Reads the compiler's message."""
    super().__init__(message)
    needed = _SIZE + r'.{0,40}?(?:exceeds available HBM|of [\d.]+\w hbm)'
    limit = r'(?:available HBM \(|Used [\d.]+\w of )' + _SIZE
    self.needed = _bytes(re.search(needed, message))
    self.limit = _bytes(re.search(limit, message))
    sizes = re.findall(r'Size: ([\d.]+\w)', message)
    shapes = re.findall(r'Shape: ([^\n{]+)', message)
    self.largest = [' '.join(pair) for pair in zip(sizes, shapes)]


_SIZE = r'([\d.]+)([KMGT])\)?'


def _bytes(match: re.Match | None) -> float:
  return (
    float(match[1]) * 1024 ** ('KMGT'.index(match[2]) + 1) if match else 0.0
  )


@dataclasses.dataclass(frozen=True)
class Compiled:
  """What the compiler made of a step.

  Attributes:
    seconds: that compiling took, tracing included.
    text: the optimised program.
    bytes: of one chip: 'arguments', 'temporaries', 'peak' ...
    warnings: lines of the compiler that are bugs of ours.
  """

  seconds: float
  text: str
  bytes: dict[str, float]
  warnings: list[str]


def compile_step(
  program: Program, topology: Topology, workdir: str = ''
) -> Compiled:
  """Compiles the step with the generation's options, and the recipe's.

  Args:
    program: on a mesh of the topology's devices.
    topology: where.
    workdir: a run's folder that the step is also kept in, see
      `train/executable.py`.

  Raises:
    OutOfMemoryError: the chip's memory is too small.
    ValueError: the compiler does not know an option, or its value.
  """
  began = time.perf_counter()
  options = chips.compiler_options(topology.chip, program.compiler_options)
  with stderr_lines() as said:
    try:
      with executable.without_cache(), tempfile.TemporaryDirectory() as folder:
        lowered = program.lower()
        compiled = lowered.compile(
          compiler_options={
            **options,
            **{'xla_dump_to': folder, 'xla_dump_hlo_as_text': True},
          }
        )
        text = _final_text(folder)
    except jax.errors.JaxRuntimeError as error:
      # XLA tells kinds of errors by their words only.
      if 'RESOURCE_EXHAUSTED' in str(error):
        raise OutOfMemoryError(str(error)) from error
      if re.search(_WRONG_OPTION, str(error)):
        raise ValueError(
          'the compiler refuses an option of --compiler_options, of '
          f'config.compile.options or of train/chips.py: {error}'
        ) from error
      raise
  if workdir:
    executable.save(
      compiled,
      executable.path_of(workdir),
      executable.identity(lowered, program.mesh, options),
    )
  stats = compiled.memory_analysis()
  return Compiled(
    seconds=time.perf_counter() - began,
    text=text,
    bytes={
      'arguments': stats.argument_size_in_bytes,
      'outputs': stats.output_size_in_bytes,
      'aliased': stats.alias_size_in_bytes,
      'temporaries': stats.temp_size_in_bytes,
      'program': stats.generated_code_size_in_bytes,
      'peak': stats.peak_memory_in_bytes,
    },
    warnings=[line for line in said if _SPILL in line],
  )


def _final_text(folder: str) -> str:
  """The program as the compiler itself writes it down.

  `compiled.as_text()` reads it once more, with the older XLA of jaxlib, which
  refuses what newer compilers of TPUs write.
  """
  files = pathlib.Path(folder).glob('*.after_codegen.txt')
  # Programs of constants are compiled beside it.
  return max((file.read_text() for file in files), key=len)


@contextlib.contextmanager
def stderr_lines() -> Iterator[list[str]]:
  """Inside, what C++ writes to stderr is kept; the lines, afterwards."""
  lines: list[str] = []
  sys.stderr.flush()
  # The descriptor, not `sys.stderr`: C++ writes past Python.
  saved = os.dup(2)
  with tempfile.TemporaryFile() as file:
    os.dup2(file.fileno(), 2)
    try:
      yield lines
    finally:
      os.dup2(saved, 2)
      os.close(saved)
      file.seek(0)
      lines += file.read().decode(errors='replace').splitlines()
