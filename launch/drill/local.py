"""`launch.local`: a killed process, a stop, a crash loop, one that never comes.

A run that met the first two ends with the bits of one that met nothing.
"""

import os
import pathlib
import signal

from launch.drill import play, tiny
from launch.drill.launched import Launched

_STEPS = 60
_LONG = 900.0  # seconds, of a busy machine
_JOIN = """
import os, time
if os.environ['JAX_PROCESS_ID'] == '1':
  print('reading a disk that does not answer', flush=True)
  time.sleep(10_000)
from train import processes
processes.join('', start_sec=1000, silent_sec=100, meet_sec=100)
"""


def drill(folder: pathlib.Path) -> None:
  """Plays it.

  Raises:
    ValueError: something is not as promised.
  """
  _to_the_same_bits(folder)
  play.tell('a command that crashes at each start, --max_restarts=2')
  code, said = _run(
    folder / 'loop', ['--max_restarts=2'], ['python', '-c', 'exit(70)']
  )
  starts = sum('start ' in line for line in said)
  play.check('it is started three times, not more', starts == 3, starts)
  play.check('the code is that of the crash', code == 70, code)

  play.tell('three processes, one of which never joins')
  code, said = _run(
    folder / 'late',
    ['--processes=3', '--max_restarts=0', '--join_sec=30'],
    ['python', '-c', _JOIN],
  )
  late = [line for line in said if 'has not joined' in line]
  play.check('it alone is named', len(late) == 1 and 'process 1' in late[0])
  play.check('with its last line', 'that does not answer' in late[0], late)
  play.check('the code is that of a time-out', code == 124, code)


def _to_the_same_bits(folder: pathlib.Path) -> None:
  whole, cut = f'{folder}/whole', f'{folder}/cut'
  flags = ['--processes=2', '--devices=2', '--grace_sec=5']
  play.tell(f'{_STEPS} steps in two processes, undisturbed')
  code, _ = _run(
    folder / 'whole',
    flags,
    tiny.command(whole, steps=_STEPS, save_every=10),
  )
  play.check('it is done', code == 0, code)

  command = tiny.command(cut, steps=_STEPS, save_every=10)
  play.tell('the same; process 1 is killed after step 15')
  launcher = Launched(folder / 'cut-logs', flags, command)
  play.wait('step 15', lambda: max(tiny.losses(cut), default=0) > 15, _LONG)
  os.kill(launcher.pids()[1], signal.SIGKILL)
  play.wait('a second start', lambda: 'start 2: ' in launcher.said(), _LONG)
  said = launcher.said()
  play.check(
    'the cause is process 1, not who was left alone',
    'process 1 ended with 137 (SIGKILL)' in said,
    said[-2000:],
  )

  play.tell('the launcher gets SIGTERM after step 25')
  play.wait('step 25', lambda: max(tiny.losses(cut), default=0) > 25, _LONG)
  launcher.process.send_signal(signal.SIGTERM)
  code = launcher.end()
  play.check('it saved, and says that it goes on: 75', code == 75, code)

  play.tell('the same command once more')
  code, said = _run(folder / 'cut-logs', flags, command)
  play.check('it is done', code == 0, said[-10:])
  third = any('start 3: ' in line for line in said)
  play.check('its logs go on with start 3', third, said[:2])
  found = tiny.differs(whole, cut)
  play.check(
    'losses and parameters are those of the first run', not found, found
  )


def _run(
  logs: pathlib.Path, flags: list[str], command: list[str]
) -> tuple[int, list[str]]:
  """Exit code and lines."""
  launcher = Launched(logs, flags, command)
  return launcher.end(), launcher.said().splitlines()
