"""Before a run: the processes of a pod, the cache of compiled programs."""

import os
from collections.abc import Sequence

import jax

from train import malloc


def up(compilation_cache: str) -> None:
  """Joins the pod's processes, if there are several; sets up JAX and the heap.

  Several there are on a TPU pod, and where JAX_COORDINATOR_ADDRESS,
  JAX_NUM_PROCESSES and JAX_PROCESS_ID say so.

  Args:
    compilation_cache: folder of compiled programs; empty: none.
  """
  if compilation_cache:
    folder = os.path.expanduser(compilation_cache)
    jax.config.update('jax_compilation_cache_dir', folder)
  # Before the backend starts: its threads would take heaps of their own.
  malloc.keep()
  hosts = os.environ.get('TPU_WORKER_HOSTNAMES', '')
  if ',' in hosts or 'JAX_COORDINATOR_ADDRESS' in os.environ:
    jax.distributed.initialize(
      num_processes=_environment_int('JAX_NUM_PROCESSES'),
      process_id=_environment_int('JAX_PROCESS_ID'),
    )
  if jax.default_backend() != 'cpu':
    malloc.give_back()


def _environment_int(name: str) -> int | None:
  return int(os.environ[name]) if name in os.environ else None


def options_of_programs_run_once() -> dict[str, int]:
  """Compiler options for initialisation and the like.

  On a CPU, LLVM would spend 10 s on the random numbers of a small model that
  take 0.1 s to draw.
  """
  on_cpu = jax.default_backend() == 'cpu'
  return {'xla_backend_optimization_level': 0} if on_cpu else {}


def step_range(words: Sequence[str]) -> tuple[int, int] | None:
  """(first, last) of `--profile_steps`; None where it is empty.

  Raises:
    ValueError: not two step numbers in order.
  """
  if not words:
    return None
  if len(words) != 2 or not all(word.isdigit() for word in words):
    raise ValueError(f'--profile_steps={words} must be FIRST,LAST')
  first, last = map(int, words)
  if not 1 <= first <= last:
    raise ValueError(f'--profile_steps={words} must be 1 <= FIRST <= LAST')
  return first, last
