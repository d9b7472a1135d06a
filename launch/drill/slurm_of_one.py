"""A real Slurm on this machine alone, as root, in a folder of its own.

For drills and tests: controller, node and keys start in about a second, and
nothing of a Slurm that is installed here is used or changed.
"""

import contextlib
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

from launch.slurm import calls

# A node takes a start in the second of the end before it for that one, whose
# credential was revoked, and Slurm then ends the job.
_HURRY_SEC = 3.0
_NEEDED = ('munged', 'slurmctld', 'slurmd', 'sbatch', 'srun', 'scontrol')
_CONF = """
ClusterName=drill
SlurmctldHost=localhost
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,sched_min_interval=100000
KillWait=10
MpiDefault=none
ReturnToService=2
NodeName=localhost CPUs=4 RealMemory=4000
PartitionName=main Nodes=localhost Default=YES MaxTime=60
"""


def missing() -> str:
  """Why there can be none here; '' if there can."""
  path = f'{os.environ.get("PATH", "")}:/usr/sbin:/sbin'
  lacks = [name for name in _NEEDED if not shutil.which(name, path=path)]
  if lacks:
    return (
      f'{", ".join(lacks)} not found: install slurmctld, slurmd, slurm-client '
      'and munge'
    )
  return '' if os.geteuid() == 0 else 'Slurm of one machine needs root'


@contextlib.contextmanager
def running(folder: pathlib.Path) -> Iterator[dict[str, str]]:
  """Inside it runs; gives the variables by which its commands find it.

  Args:
    folder: of its files, made here.

  Raises:
    ValueError: it cannot be here, or did not start.
  """
  why = missing()
  if why:
    raise ValueError(why)
  for name in ('state', 'spool'):
    (folder / name).mkdir(parents=True)
  folder.chmod(0o755)
  key = folder / 'key'
  key.write_bytes(secrets.token_bytes(1024))
  key.chmod(0o400)
  conf = folder / 'slurm.conf'
  controller, node = _free_ports(2)
  conf.write_text(_CONF.format(folder=folder, controller=controller, node=node))
  path = f'{os.environ.get("PATH", "")}:/usr/sbin:/sbin'
  variables = {'SLURM_CONF': f'{conf}', 'PATH': path}
  environment = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith('SLURM')
  } | variables
  munge = [
    *('munged', '--force', f'--key-file={key}', f'--socket={folder}/munge'),
    *(f'--pid-file={folder}/munged.pid', f'--log-file={folder}/munged.log'),
    f'--seed-file={folder}/seed',
  ]
  try:
    for command in (munge, ['slurmctld'], ['slurmd', '-N', 'localhost']):
      _call(command, environment, folder)
    deadline = time.monotonic() + 60
    while _nodes(environment) != 'idle':
      if time.monotonic() > deadline:
        raise ValueError(f'no node of Slurm came up: look at {folder}/*.log')
      time.sleep(0.1)
    yield variables
  finally:
    _end([folder / f'{name}.pid' for name in ('slurmd', 'slurmctld', 'munged')])


# Job -> when it began to wait, or was last hurried.
_waits: dict[str, float] = {}


def hurry(job: str) -> None:
  """Starts a requeued job that waits its two minutes; another, it lets be.

  Args:
    job: its number, of the Slurm that this process uses.
  """
  if calls.find(job).get('Reason') != 'BeginTime':
    _waits.pop(job, None)
    return
  # Now and then: what begins now, again and again, never begins.
  now = time.monotonic()
  if now - _waits.setdefault(job, now) >= _HURRY_SEC:
    _waits[job] = now
    with contextlib.suppress(ValueError):  # it began at this moment
      calls.call('scontrol', 'update', f'JobId={job}', 'StartTime=now')


def _call(command: list[str], environment, folder: pathlib.Path) -> None:
  done = subprocess.run(
    command,
    env=environment,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )
  if done.returncode:
    raise ValueError(
      f'{command[0]} did not start (exit {done.returncode}: '
      f'{done.stderr.strip()}): look at {folder}/*.log'
    )


def _nodes(environment) -> str:
  found = subprocess.run(
    ['sinfo', '-h', '-o', '%T'], env=environment, capture_output=True, text=True
  )
  return found.stdout.strip()


def _end(pid_files: list[pathlib.Path]) -> None:
  """Ends daemons, as far as they had come; at once, as each takes seconds."""
  told = []
  for pid_file in pid_files:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
      told.append(int(pid_file.read_text()))
      os.kill(told[-1], signal.SIGTERM)
  deadline = time.monotonic() + 20
  for pid in told:
    with contextlib.suppress(ProcessLookupError):
      while time.monotonic() < deadline:
        os.kill(pid, 0)
        time.sleep(0.05)
      os.kill(pid, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
  with contextlib.ExitStack() as stack:
    free = [stack.enter_context(socket.socket()) for _ in range(count)]
    for each in free:
      each.bind(('', 0))
    return [each.getsockname()[1] for each in free]
