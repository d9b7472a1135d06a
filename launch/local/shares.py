"""What each of several processes of a machine has of its devices."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

Share = Mapping[str, str]


def cores(count: int) -> list[tuple[int, ...]]:
  """The CPU cores of each of `count` runs that have nothing to do together.

  Small ones are faster with a part of the cores each than with all of them in
  turns: `python -m launch.bench.together`. All have all, as () says, where JAX
  computes on something else, where there are fewer cores than runs, or where
  the system does not let them be chosen (a Mac).
  """
  if count == 1 or not hasattr(os, 'sched_getaffinity') or _gpus():
    return [()] * count
  mine = sorted(os.sched_getaffinity(0))
  each = len(mine) // count
  if not each:
    return [()] * count
  ends = [round(number * len(mine) / count) for number in range(count + 1)]
  return [tuple(mine[a:b]) for a, b in itertools.pairwise(ends)]


def of(processes: int, devices: int) -> list[Share]:
  """Variables of the environment of each process.

  Args:
    processes: that share this machine.
    devices: of each; 0: an even share of the GPUs, or what a CPU has by itself.

  Raises:
    ValueError: there are not so many GPUs.
  """
  shares = [{} for _ in range(processes)]
  if devices:
    # Says nothing where there are GPUs and JAX can use them.
    count = f'--xla_force_host_platform_device_count={devices}'
    for share in shares:
      share['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {count}'.strip()
  gpus = _gpus()
  if not gpus or (processes == 1 and not devices):
    return shares
  each = devices or len(gpus) // processes
  if not each or each * processes > len(gpus):
    raise ValueError(
      f'{processes} processes with {max(each, 1)} GPUs each, but there are '
      f'{len(gpus)} ({", ".join(gpus)}): ask for fewer --processes or '
      '--devices, or set JAX_PLATFORMS=cpu'
    )
  if not devices and each * processes < len(gpus):
    raise ValueError(
      f'{len(gpus)} GPUs do not divide among {processes} processes: choose '
      f'--devices, such as --devices={each}'
    )
  for number, share in enumerate(shares):
    mine = gpus[number * each : (number + 1) * each]
    share['CUDA_VISIBLE_DEVICES'] = ','.join(mine)
  return shares


def pinned(command: Sequence[str], cores: Sequence[int]) -> list[str]:
  """The command, on some cores of the CPU; (): on all.

  By a command too, since what runs between fork and exec may not take locks.
  """
  pin = shutil.which('taskset') if cores else None
  words = [pin, '--cpu-list', ','.join(map(str, cores))] if pin else []
  return [*words, *command]


def _gpus() -> list[str]:
  """Those that processes of this machine may see, as CUDA names them."""
  if os.environ.get('JAX_PLATFORMS') == 'cpu':
    return []
  visible = os.environ.get('CUDA_VISIBLE_DEVICES')
  if visible is not None:
    return [name for name in visible.split(',') if name]
  if not shutil.which('nvidia-smi'):
    return []
  # Not by JAX, which takes seconds to import and would hold the GPUs. Without
  # a driver it fails: then there are none.
  found = subprocess.run(
    ['nvidia-smi', '--query-gpu=index', '--format=csv,noheader'],
    capture_output=True,
    text=True,
  )
  return found.stdout.split() if found.returncode == 0 else []
