"""Processes of this host that were written down: whether they run, signals."""

import contextlib
import json
import os
import pathlib

from launch.tpu.host import places


def note(path, pid):
  """Writes down a process, and when it began: its number is used again."""
  places.write(path, json.dumps({'pid': pid, 'began': _began(pid)}))


def is_alive(path):
  """Whether the process that was written down still runs."""
  who = places.read(path)
  return bool(who) and bool(who['began']) and _began(who['pid']) == who['began']


def send(path, number, group=False):
  """Sends a signal to it if it runs, or to its group."""
  if is_alive(path):
    with contextlib.suppress(ProcessLookupError, PermissionError):
      (os.killpg if group else os.kill)(places.read(path)['pid'], number)


def _began(pid):
  """When a process began, by the system's clock; '' if it is over."""
  try:
    text = pathlib.Path(f'/proc/{pid}/stat').read_text()
  except OSError:
    return ''
  # Behind the name, which may hold blanks, the state is the first.
  words = text.rpartition(')')[2].split()
  return '' if words[0] == 'Z' else words[19]
