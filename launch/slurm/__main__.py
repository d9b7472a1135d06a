"""Hands a command to Slurm, which runs it on its nodes, and again if need be.

    python -m launch.slurm start --name=NAME --nodes=4 --tasks_per_node=1 \
      --gpus_per_node=8 --time=1-00:00:00 --partition=gpu -- \
      python -m train --config=configs/mae.py:size=L --workdir=RUN
    python -m launch.slurm status --name=NAME
    python -m launch.slurm logs --name=NAME --task=3
    python -m launch.slurm stop --name=NAME

--save_sec before the time limit Slurm tells all processes to stop. They save,
and the job goes back into the queue; so it does after a crash, --max_restarts
times. `stop` waits for the save, too. This checkout, the Python that runs this
and --logs must lie on a disk that all nodes see; so must a --workdir that is
not in an object store.
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from base import command

_VERBS = ('start', 'status', 'logs', 'stop')
_NAME = flags.DEFINE_string('name', None, 'Of the job.')
_NODES = flags.DEFINE_integer('nodes', 1, 'Machines.', lower_bound=1)
_TASKS = flags.DEFINE_integer(
  'tasks_per_node', 1, 'Processes of each: one, or one a GPU.', lower_bound=1
)
_GPUS = flags.DEFINE_integer('gpus_per_node', 0, 'Of each.', lower_bound=0)
_CPUS = flags.DEFINE_integer(
  'cpus_per_task', 0, "Cores of each process; 0: Slurm's default.", 0
)
_TIME = flags.DEFINE_string(
  'time', None, 'Limit of one start, as Slurm has it: 90, 12:00:00, 2-00:00:00.'
)
_PARTITION = flags.DEFINE_string('partition', '', "'': the default one.")
_SBATCH = flags.DEFINE_multi_string(
  'sbatch', [], 'A further option of sbatch: account=NAME, exclusive, ...'
)
_SAVE = flags.DEFINE_integer(
  'save_sec',
  180,
  'Before the time limit, in which the last step ends and all is saved; Slurm '
  'may take a minute more.',
  lower_bound=1,
)
_MAX_RESTARTS = flags.DEFINE_integer(
  'max_restarts',
  3,
  'Crashes after which the job is started again; a stop after a save does not '
  'count.',
  lower_bound=0,
)
_LOGS = flags.DEFINE_string(
  'logs', '', 'Folder of logs and state; runs/slurm/NAME if it is not given.'
)
_DRY_RUN = flags.DEFINE_bool(
  'dry_run', False, 'Print the script, and start nothing.'
)
_PLAN = flags.DEFINE_enum(
  'plan',
  'shapes',
  ('shapes', 'none'),
  'shapes: a recipe that cannot work on so many devices is refused here, and '
  'not when its turn has come. none: start without.',
)
_WAIT = flags.DEFINE_bool(
  'wait',
  False,
  'Stay until the job has ended, with its exit code; with one that goes on, if '
  'the command is the same. Ctrl-C leaves the job running.',
)
_POLL = flags.DEFINE_float(
  'poll_sec', 10.0, 'Between two looks at the job, by --wait.', 0.1
)
_TASK = flags.DEFINE_integer('task', 0, 'Whose log.', lower_bound=0)
_FOLLOW = flags.DEFINE_bool('follow', False, 'Show the log as it grows.')
_NOW = flags.DEFINE_bool('now', False, 'Stop without waiting for a save.')


def main(words: Sequence[str]) -> None:
  """Does what the first word says."""
  from base import names
  from launch.slurm import order, show, stop
  from launch.slurm.record import Record

  verb, *rest = words
  names.choose('command of launch.slurm', verb, _VERBS)
  logs = _LOGS.value or f'runs/slurm/{order.name(_NAME.value)}'
  folder = pathlib.Path(logs).absolute()
  if verb == 'start':
    _start(rest, folder)
    return
  if rest:
    raise ValueError(f'`launch.slurm {verb}` takes flags only, got {rest}')
  record = Record.read(folder)
  if verb == 'status':
    show.status(record)
  elif verb == 'logs':
    show.log(record, _TASK.value, follow=_FOLLOW.value)
  else:
    stop.stop(record, now=_NOW.value)


def _start(words: Sequence[str], folder: pathlib.Path) -> None:
  from launch import job as job_lib
  from launch.slurm import order, start

  if not _TIME.value:
    raise ValueError('--time must be given, such as --time=12:00:00')
  code = start.start(
    order.Order(
      name=_NAME.value,
      nodes=_NODES.value,
      tasks_per_node=_TASKS.value,
      gpus_per_node=_GPUS.value,
      cpus_per_task=_CPUS.value,
      time=_TIME.value,
      partition=_PARTITION.value,
      sbatch=order.options(_SBATCH.value),
      save_sec=_SAVE.value,
      max_restarts=_MAX_RESTARTS.value,
    ),
    job_lib.parse(words, one_disk=True),
    folder,
    dry_run=_DRY_RUN.value,
    plan=_PLAN.value == 'shapes',
    wait_poll_sec=_POLL.value if _WAIT.value else 0.0,
  )
  sys.exit(code)


if __name__ == '__main__':
  command.run(
    main,
    required=['name'],
    words='start, status, logs or stop',
    starts='start',
  )
