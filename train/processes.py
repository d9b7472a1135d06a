"""Before a run: this process joins the others of a pod, and sets up JAX."""

import os
import socket
import warnings

import jax

# Which schedulers JAX knows, it does not say in public; asking each of its
# classes is what `jax.distributed.initialize` does first.
from jax._src.clusters import ClusterEnv

from base import console
from train import malloc

# What says how many processes a scheduler started, where JAX does not join
# them by itself: a batch script without srun, an Open MPI that no longer sets
# what JAX looks for, MPICH, a TPU's hosts seen from a machine without one.
_STARTED = (
  *('JAX_NUM_PROCESSES', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE'),
  *('PMI_SIZE', 'TPU_WORKER_HOSTNAMES'),
)


def up(compilation_cache: str) -> None:
  """Joins the other processes, if there are any; sets up JAX and the heap.

  JAX's own detection decides whether there are: Slurm, Open MPI, Kubernetes,
  the hosts of a cloud TPU. JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and
  JAX_PROCESS_ID say so where it finds none.

  Args:
    compilation_cache: folder of compiled programs; empty: none.

  Raises:
    ValueError: a scheduler started several processes, and this one is alone.
  """
  if compilation_cache:
    folder = os.path.expanduser(compilation_cache)
    jax.config.update('jax_compilation_cache_dir', folder)
  # Before the backend starts: its threads would take heaps of their own.
  malloc.keep()
  found = detected()
  if found and not jax.distributed.is_initialized():
    jax.distributed.initialize(
      num_processes=_number('JAX_NUM_PROCESSES'),
      process_id=_number('JAX_PROCESS_ID'),
    )
  _check_company(found)
  if jax.process_count() > 1:
    # Each says where it is, before only the first one speaks.
    here = jax.local_devices()
    console.say(
      f'process {jax.process_index()} of {jax.process_count()} on '
      f'{socket.gethostname()}: {len(here)} x {here[0].device_kind}, joined by '
      f'{found}'
    )
    if jax.process_index():
      console.mute()
  if jax.default_backend() != 'cpu':
    malloc.give_back()


def detected() -> str:
  """What joins processes here; '' where this one is alone.

  A cluster of one process is none: nothing is to be joined.
  """
  if 'JAX_COORDINATOR_ADDRESS' in os.environ:
    return 'JAX_COORDINATOR_ADDRESS'
  with warnings.catch_warnings():
    # In any pod of Kubernetes: that a package would be needed to join there.
    warnings.simplefilter('ignore')
    for each in ClusterEnv._cluster_types:
      if not each.opt_in_only_method and each.is_env_present():
        return each.name if each.get_process_count() > 1 else ''
  return ''


def _check_company(found: str) -> None:
  """Refuses to be one of several runs in one folder."""
  if jax.process_count() > 1:
    return
  for name in _STARTED:
    value = os.environ.get(name, '')
    count = len(value.split(',')) if 'HOSTNAMES' in name else _number(name)
    if count and count > 1:
      raise ValueError(
        f'{name}={value} says that {count} processes were started, but this '
        f'one is alone ({found or "no cluster was detected"}): start it as '
        'the scheduler does its tasks (srun python -m ...), set '
        f'JAX_COORDINATOR_ADDRESS, or unset {name} for a run of one process'
      )


def _number(name: str) -> int | None:
  """Of an environment variable, if it is there.

  Raises:
    ValueError: it is no number.
  """
  value = os.environ.get(name)
  if value is None:
    return None
  if not value.isdigit():
    raise ValueError(f'{name}={value!r} must be a number: set it right, or not')
  return int(value)


def options_of_programs_run_once() -> dict[str, int]:
  """Compiler options for initialisation and the like.

  On a CPU, LLVM would spend 10 s on the random numbers of a small model that
  take 0.1 s to draw.
  """
  on_cpu = jax.default_backend() == 'cpu'
  return {'xla_backend_optimization_level': 0} if on_cpu else {}
