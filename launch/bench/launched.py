"""What `launch.local` adds to a start: `python -m launch.bench.launched`.

The same processes in turns, by the launcher and without it, from the start to
the end of the last.
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from absl import flags

from base import command

_PROCESSES = flags.DEFINE_integer(
  'processes', 1, 'Of each run; several of them join.', lower_bound=1
)
_ROUNDS = flags.DEFINE_integer('rounds', 10, 'Pairs of runs.', lower_bound=1)
# The shortest run that there is: JAX is there, and all know of one another.
_RUN = """
import jax, os
count = int(os.environ.get('JAX_NUM_PROCESSES', 1))
if count > 1:
  jax.distributed.initialize(
    num_processes=count, process_id=int(os.environ['JAX_PROCESS_ID'])
  )
jax.devices()
"""
_ROOT = pathlib.Path(__file__).parents[2]


def main() -> None:
  """Prints the medians, and that of what is added."""
  with tempfile.TemporaryDirectory() as folder:
    pairs = [(_bare(folder), _launched(folder)) for _ in range(_ROUNDS.value)]
  bare, launched = (statistics.median(each) for each in zip(*pairs))
  added = statistics.median(b - a for a, b in pairs)
  print(
    f'{_PROCESSES.value} processes, medians of {_ROUNDS.value}: {bare:.2f} s '
    f'bare, {launched:.2f} s by launch.local, which adds {added:.2f} s'
  )


def _bare(folder: str) -> float:
  """Seconds of the processes, as somebody would start them by hand."""
  from launch.local import environment

  began = time.perf_counter()
  with open(f'{folder}/bare.log', 'ab') as log:
    runs = [
      subprocess.Popen(
        [sys.executable, '-c', _RUN],
        env=place,
        stdout=log,
        stderr=log,
        # As the launcher's: a busy Linux shares itself among sessions.
        start_new_session=True,
      )
      for place in environment.of([{}] * _PROCESSES.value, 1)
    ]
    _check([run.wait() for run in runs])
  return time.perf_counter() - began


def _launched(folder: str) -> float:
  """Seconds of the launcher that starts them."""
  began = time.perf_counter()
  ended = subprocess.run(
    [
      *(sys.executable, '-m', 'launch.local', '--max_restarts=0'),
      *(f'--processes={_PROCESSES.value}', f'--logs={folder}/logs'),
      *('--', sys.executable, '-c', _RUN),
    ],
    cwd=_ROOT,
    stdout=subprocess.DEVNULL,
  )
  _check([ended.returncode])
  return time.perf_counter() - began


def _check(codes: list[int]) -> None:
  if any(codes):
    raise ValueError(
      f'processes ended with {codes}, expected 0: look why with `python -m '
      f'launch.local --processes={_PROCESSES.value} -- python -c "import jax; '
      'jax.devices()"`'
    )


if __name__ == '__main__':
  command.run(main)
