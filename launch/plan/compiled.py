"""Compiles a step for a slice of TPUs that is not here, and says what it is."""

import dataclasses
import pathlib
import re
import tempfile
import time

import jax

from launch.plan.topology import Topology, stderr_lines
from train import chips, executable
from train.program import Program

_SPILL = 'nvoluntary full rematerialization'


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
      if 'RESOURCE_EXHAUSTED' in str(error):
        raise OutOfMemoryError(str(error)) from error
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
