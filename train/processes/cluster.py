"""What a scheduler says of the processes that it started."""

import os
import warnings

import jax

# Which schedulers JAX knows, it does not say in public; asking each of its
# classes is what `jax.distributed.initialize` does first.
from jax._src.clusters import ClusterEnv

# What says how many processes a scheduler started, where JAX does not join
# them by itself: a batch script without srun, an Open MPI that no longer sets
# what JAX looks for, MPICH, a TPU's hosts seen from a machine without one.
_STARTED = (
  *('JAX_NUM_PROCESSES', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE'),
  *('PMI_SIZE', 'TPU_WORKER_HOSTNAMES'),
)


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


def check_company(found: str) -> None:
  """Refuses to be one of several runs in one folder."""
  if jax.process_count() > 1:
    return
  for name in _STARTED:
    value = os.environ.get(name, '')
    count = len(value.split(',')) if 'HOSTNAMES' in name else number(name)
    if count and count > 1:
      raise ValueError(
        f'{name}={value} says that {count} processes were started, but this '
        f'one is alone ({found or "no cluster was detected"}): start it as '
        'the scheduler does its tasks (srun python -m ...), set '
        f'JAX_COORDINATOR_ADDRESS, or unset {name} for a run of one process'
      )


def gpus_of_task() -> list[int] | None:
  """Numbers of the GPUs of a task of Slurm; None: the one that JAX takes.

  JAX gives each task the GPU of its number on the node. A node's only task
  would leave the others idle; and where Slurm shows each task its own alone
  (--gpus-per-task), that number is not there.
  """
  visible = os.environ.get('CUDA_VISIBLE_DEVICES', '')
  seen = len([one for one in visible.split(',') if one])
  seen = seen or number('SLURM_GPUS_ON_NODE') or 0
  # Of this node: '2(x3),1' lists how many tasks each node has.
  tasks = os.environ.get('SLURM_STEP_TASKS_PER_NODE', '')
  alone = tasks.partition('(')[0] == '1' and ',' not in tasks
  if seen and (alone or seen == 1):
    return list(range(seen))
  return None


def number(name: str) -> int | None:
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
