"""The batch script of a job: by submitit, with our way to end."""

import pathlib
import shlex
import sys

import submitit

from base import exits
from base.exits import ATTEMPT
from launch.job import Job
from launch.local import environment
from launch.slurm.order import Order

_ROOT = pathlib.Path(__file__).parents[2]
# Of one process: it keeps the code for the policy, with the moment of its end,
# and hides a 75 from srun, which would end those that still save. Signals of
# Slurm reach the process itself; its shell must outlive them.
_TASK = """\
trap : TERM
"$@"
code=$?
echo "$(date +%s.%N) $code" > "$SCALE4D_ENDS/$SLURM_PROCID"
[ $code -eq 75 ] && exit 0
exit $code"""


class _Script(submitit.SlurmExecutor):
  """Of which only the text is wanted, also where there is no Slurm."""

  @classmethod
  def affinity(cls) -> int:
    return 2

  def text(self, command: str) -> str:
    return self._make_submission_file_text(command, uid='')


def text(order: Order, job: Job, folder: pathlib.Path) -> str:
  """What sbatch is given.

  Args:
    order: machines and limits.
    job: the command.
    folder: of logs and state.

  Raises:
    ValueError: the command is no program, or the folder cannot be one of logs.
  """
  if '%' in f'{folder}':
    raise ValueError(
      f'--logs={folder}: % has a meaning to Slurm; choose another folder'
    )
  own = f'{shlex.quote(f"{folder}")}/"$SLURM_JOB_ID"'
  end = [
    *(sys.executable, '-m', 'launch.slurm.end', f'--logs={folder}'),
    f'--max_restarts={order.max_restarts}',
  ]
  script = _Script(folder)
  script.update_parameters(
    job_name=order.name,
    nodes=order.nodes,
    ntasks_per_node=order.tasks_per_node,
    gpus_per_node=order.gpus_per_node or None,
    cpus_per_task=order.cpus_per_task or None,
    partition=order.partition or None,
    time=order.time,
    stderr_to_stdout=True,
    wckey=None,
    setup=[
      f'cd {shlex.quote(f"{_ROOT}")} || exit 1',
      f'export {ATTEMPT}=$((${{SLURM_RESTART_COUNT:-0}} + 1))',
      'export PYTHONUNBUFFERED=1',
      f'export SCALE4D_ENDS={own}/attempt-${ATTEMPT}',
      'mkdir -p "$SCALE4D_ENDS"',
      # Told to stop while it waited for its nodes, or between two starts.
      f'[ -e {own}/stop ] && exit {exits.AGAIN}',
    ],
    # Without --kill-on-bad-exit peers of a dead process live on; a log of an
    # earlier start is not emptied.
    srun_args=['--kill-on-bad-exit=1', '--open-mode=append'],
    teardown=[
      'code=$?',
      f'exec {shlex.join(end)} --job="$SLURM_JOB_ID" --code=$code',
    ],
    additional_parameters={
      # To the processes, and not (B:) to this script alone.
      'signal': f'TERM@{order.save_sec}',
      'requeue': True,
      **order.sbatch,
    },
  )
  words = ['bash', '-c', _TASK, 'task', *environment.command(job)]
  return script.text(shlex.join(words))
