"""An attempt's log, for who reads it through a connection that may break."""

import os
import sys
import time

from launch.tpu.host import job, places

_TICK = 0.5


def show(number, offset, follow):
  """Prints it, each line behind the place in bytes where the next one begins.

  By the places the launcher knows what it has had, when gcloud begins anew.

  Args:
    number: of the attempt.
    offset: bytes to leave out; below 0: so many of the end are shown.
    follow: until the attempt is over.
  """
  path, parent = places.attempt(number) / 'log', os.getppid()
  while not path.exists():
    if not follow or os.getppid() != parent:
      sys.exit(f'attempt {number} has no log on this host')
    time.sleep(_TICK)
  with open(path, 'rb') as file:
    end = file.seek(0, os.SEEK_END)
    if offset >= 0:
      file.seek(offset)
    elif end > -offset:
      file.seek(end + offset)
      file.readline()
    else:
      file.seek(0)
    rest, place = b'', file.tell()
    while True:
      # Before the last lines are read.
      is_over = job.state(number) != 'running'
      *lines, rest = (rest + file.read()).split(b'\n')
      if is_over and rest:
        lines, rest = [*lines, rest], b''
      for line in lines:
        # Of a bar, which is drawn over itself, the last state.
        shown = line.rstrip(b'\r').rpartition(b'\r')[2]
        place += len(line) + 1
        print(f'{place}:{shown.decode("utf-8", "replace")}')
      sys.stdout.flush()
      # Or who was reading has gone.
      if is_over or not follow or os.getppid() != parent:
        return
      time.sleep(_TICK)
