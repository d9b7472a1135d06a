"""Runs a command as several processes of this machine, and again if need be.

    python -m launch.local --processes=4 --devices=2 -- \
      python -m train --config=configs/mae.py:size=S --workdir=RUN

Each line of the processes is shown with the number of its process in front,
and each process of each start has a log file. A crash, or a stop after a save,
starts all of them again; Ctrl-C or SIGTERM is passed on, and waits for the
save. The exit code is that of the process which decided (base/exits.py): 0
done, 75 saved and stopped: the same command goes on.
"""

import sys
from collections.abc import Sequence

from absl import flags

from base import command

_PROCESSES = flags.DEFINE_integer(
  'processes', 1, 'Processes of the run.', lower_bound=1
)
_DEVICES = flags.DEFINE_integer(
  'devices',
  0,
  'Devices of each process: its share of the GPUs, or so many simulated ones '
  'of a CPU; 0: an even share, or one.',
  lower_bound=0,
)
_MAX_RESTARTS = flags.DEFINE_integer(
  'max_restarts',
  3,
  'Crashes after which all processes are started again; a stop after a save '
  'does not count.',
  lower_bound=0,
)
_LOGS = flags.DEFINE_string(
  'logs', '', 'Folder of the logs; WORKDIR/logs if it is not given.'
)
_GRACE = flags.DEFINE_float(
  'grace_sec',
  30.0,
  'When a process has failed: seconds after which those that go on are told '
  'to stop, and again after which they are killed.',
  lower_bound=0.0,
)
_JOIN = flags.DEFINE_float(
  'join_sec',
  120.0,
  'Seconds within which all processes must have joined; a late one is named.',
  lower_bound=1.0,
)


def main(words: Sequence[str]) -> None:
  """Checks everything, then starts."""
  from launch import job as job_lib
  from launch.local import attempt, environment, run, shares

  job = job_lib.parse(words, one_disk=True)
  environment.command(job)
  sys.exit(
    run.run(
      attempt.Start(
        job=job,
        shares=shares.of(_PROCESSES.value, _DEVICES.value),
        logs=run.folder_of_logs(job, _LOGS.value),
        grace_sec=_GRACE.value,
        join_sec=_JOIN.value,
      ),
      max_restarts=_MAX_RESTARTS.value,
    )
  )


if __name__ == '__main__':
  # Flags end where the command begins, with or without --.
  flags.FLAGS.set_gnu_getopt(False)
  command.run(main, words='-- COMMAND', most=None)
