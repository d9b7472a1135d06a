"""What is asked of a cluster, checked before it is asked."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

# Minutes; minutes:seconds; hours:minutes:seconds; with days before them.
_TIME = re.compile(r'(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?')


@dataclasses.dataclass(frozen=True)
class Order:
  """Machines and limits of a job.

  Attributes:
    name: of the job.
    nodes: machines.
    tasks_per_node: processes of each.
    gpus_per_node: of each.
    cpus_per_task: cores; 0: as the cluster has it.
    time: limit of one start, in the words of Slurm.
    partition: '': the default one.
    sbatch: further options of sbatch; True for those without a value.
    save_sec: before the limit, at which all are told to stop.
    max_restarts: starts after a crash.
  """

  name: str
  nodes: int
  tasks_per_node: int
  gpus_per_node: int
  cpus_per_task: int
  time: str
  partition: str
  sbatch: Mapping[str, str | bool]
  save_sec: int
  max_restarts: int

  @property
  def devices(self) -> int:
    """All that JAX will see; of a process without GPUs, its CPU."""
    return self.nodes * (self.gpus_per_node or self.tasks_per_node)

  def __post_init__(self):
    """Raises ValueError for what cannot work on any cluster."""
    name(self.name)
    # Each is a line of the script: another line would end its options.
    if re.search(r'\s', self.partition):
      raise ValueError(
        f'--partition={self.partition!r}: expected a name that `sinfo` lists'
      )
    for key, value in self.sbatch.items():
      if '\n' in str(value):
        raise ValueError(
          f'--sbatch={key}={value!r} has several lines, expected one'
        )
    limit = seconds(self.time)
    if limit and limit <= self.save_sec + 60:
      raise ValueError(
        f'--time={self.time} leaves no time to train: --save_sec='
        f'{self.save_sec} before its end all are told to stop, and Slurm may '
        'do so a minute earlier; give more --time, or less of --save_sec'
      )
    if self.gpus_per_node and self.tasks_per_node not in (
      1,
      self.gpus_per_node,
    ):
      raise ValueError(
        f'--tasks_per_node={self.tasks_per_node} with --gpus_per_node='
        f'{self.gpus_per_node}: JAX gives a process one GPU, or all of them; '
        f'expected 1 or {self.gpus_per_node}'
      )


def name(given: str) -> str:
  """A name of a job, which is also one of a folder.

  Raises:
    ValueError: it cannot be.
  """
  if not re.fullmatch(r'[A-Za-z0-9][\w.-]*', given, re.ASCII):
    raise ValueError(
      f'--name={given!r} must be letters, digits, ., _ and -, and begin with '
      'one of the first two'
    )
  return given


def seconds(time: str) -> int:
  """Of a limit in the words of Slurm; 0: none.

  Raises:
    ValueError: it is none.
  """
  if time in ('UNLIMITED', 'INFINITE'):
    return 0
  found = _TIME.fullmatch(time)
  if not found:
    raise ValueError(
      f'--time={time} is no time of Slurm: expected minutes, HH:MM:SS, or '
      'D-HH:MM:SS'
    )
  days, *parts = found.groups()
  parts = [int(part) for part in parts if part]
  if days is not None:
    units = (3600, 60, 1)  # days-hours[:minutes[:seconds]]
  else:
    units = {1: (60,), 2: (60, 1), 3: (3600, 60, 1)}[len(parts)]
  return 86400 * int(days or 0) + sum(a * b for a, b in zip(parts, units))


def options(given: Sequence[str]) -> dict[str, str | bool]:
  """{'account': 'x', 'exclusive': True} of --sbatch=account=x and so on.

  Raises:
    ValueError: one that is none, or that the launcher needs for itself.
  """
  found = {}
  for each in given:
    key, is_set, value = each.lstrip('-').partition('=')
    if not re.fullmatch('[a-z][a-z-]+', key):
      raise ValueError(
        f'--sbatch={each} is no option of sbatch: expected NAME=VALUE or NAME, '
        'in its long form'
      )
    if key in _OURS:
      raise ValueError(
        f'--sbatch={each}: {_OURS[key]}; leave it to the launcher'
      )
    found[key] = value if is_set else True
  return found


_OURS = {
  'array': 'a name is one job',
  'error': 'logs have their names by --logs',
  'gpus-per-task': 'it hides GPUs from JAX, give --gpus_per_node',
  'job-name': 'it is --name',
  'no-requeue': 'a job that cannot be requeued cannot go on',
  'nodes': 'it is --nodes',
  'ntasks-per-node': 'it is --tasks_per_node',
  'open-mode': 'a log goes on where it was',
  'output': 'logs have their names by --logs',
  'partition': 'it is --partition',
  'signal': 'it is --save_sec',
  'time': 'it is --time',
}
