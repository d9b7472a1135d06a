"""A folder of an object store taken by one process, which has no locks there.

The claim is an object that says who works there, and that its owner renews
while it lives. An owner of this machine can be looked for; of one elsewhere a
claim that is not renewed says that it is dead. Clocks of machines are taken to
agree within a minute.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from etils import epath

from base import console, stops, stores

RENEW = 30.0  # seconds between two signs of life
LAPSE = 120.0  # without a sign, after which an owner is dead
# Between writing a claim and looking whether it is the one that stayed: longer
# than another takes from looking to writing.
_SETTLE = 0.5
_LOOK = 2.0  # between two looks at another's claim

# What this process holds, by path.
_MINE: dict[str, '_Claim'] = {}


@contextlib.contextmanager
def held(
  path: epath.PathLike, *, wait: bool = False, sure: bool = False
) -> Iterator[str]:
  """Inside: '' if nobody else is inside for this object, else who is.

  Args:
    path: of the claim's object.
    wait: for the other process to leave, or to die.
    sure: where only time can tell whether the other lives, wait until it can,
      and say so; otherwise it is taken to live.

  Raises:
    ValueError: the claim is damaged.
  """
  path = os.fspath(path)
  claim = _Claim(path)
  other = _taken_by_other(claim, wait=wait, sure=sure)
  if other:
    yield other
    return
  claim.start()
  _MINE[path] = claim
  try:
    with stops.giving_back(claim.release):
      yield ''
  finally:
    del _MINE[path]
    claim.release()


def check(path: epath.PathLike) -> None:
  """Whether what this process holds is still its own; to be asked often.

  Raises:
    RuntimeError: another has taken it, since there was no sign for long.
  """
  claim = _MINE.get(os.fspath(path))
  if claim is not None:
    claim.check()


class _Claim:
  """This process's own."""

  def __init__(self, path: str):
    self.path = path
    self.about = {
      **{'host': socket.gethostname(), 'pid': os.getpid()},
      **{'machine': _machine(), 'born': _born(os.getpid())},
      **{'id': uuid.uuid4().hex, 'generation': 0, 'renewed': 0, 'time': 0.0},
    }
    self._taken_by = ''
    self._end = threading.Event()
    self._turn = threading.Lock()
    self._thread = threading.Thread(
      target=self._keep, name='claim', daemon=True
    )

  def wins(self, there: dict[str, Any] | None) -> bool:
    """Writes it in place of none, or of a dead one; whether it stayed."""
    self.about['generation'] = there['generation'] + 1 if there else 0
    try:
      self._write(only_new=there is None)
    except FileExistsError:
      return False
    time.sleep(_SETTLE)
    return self._is_mine(_read(self.path))

  def start(self) -> None:
    self._thread.start()

  def release(self) -> None:
    self._end.set()
    self._thread.join()
    try:
      if self._is_mine(_read(self.path)):
        stores.remove(self.path)
    except OSError as error:
      console.say(f'cannot remove {self.path}, which lapses: {error}')

  def check(self) -> None:
    # A process that was stopped for long learns it here, not at its next turn.
    if time.time() - self.about['time'] > LAPSE:
      self._renew()
    if self._taken_by:
      raise RuntimeError(
        f'{self.path} was taken over by {self._taken_by}, since this process '
        f'gave no sign for {LAPSE:.0f} s: it saves nothing more; stop the '
        'other, then run the same command'
      )

  def _keep(self):
    while not self._end.wait(RENEW) and not self._taken_by:
      self._renew()

  def _renew(self):
    with self._turn:
      try:
        there = _read(self.path)
        if there is None or self._is_mine(there):
          self._write()
        else:
          self._taken_by = _who(there)
      except OSError as error:
        console.say(f'cannot renew {self.path}: {error}')
      except ValueError as error:
        self._taken_by = f'someone who wrote what cannot be read ({error})'

  def _write(self, *, only_new: bool = False):
    about = self.about
    about |= {'renewed': about['renewed'] + 1, 'time': time.time()}
    stores.write(
      self.path, json.dumps(about, indent=2).encode(), only_new=only_new
    )

  def _is_mine(self, there):
    return there is not None and there['id'] == self.about['id']


def _taken_by_other(claim: _Claim, *, wait: bool, sure: bool) -> str:
  """Takes the claim, and says '', or whose it is."""
  first, said = None, False
  while True:
    there = _read(claim.path)
    if there is None or _is_dead(there):
      if claim.wins(there):
        return ''
      continue
    first = first or there
    is_alive = _is_here(there) or (
      (there['id'], there['renewed']) != (first['id'], first['renewed'])
    )
    if not wait and (is_alive or not sure):
      return _who(there)
    if not said:
      console.say(
        f'waiting for the claim of {_who(there)} on {claim.path} to lapse: '
        f'last sign {_age(there):.0f} s ago, it is dead after {LAPSE:.0f} s'
      )
    said = True
    time.sleep(_LOOK)


def _read(path: str) -> dict[str, Any] | None:
  """What a claim says; None where there is none."""
  try:
    text = stores.read(path)
  except FileNotFoundError:
    return None
  try:
    found = json.loads(text)
    kinds = {'host': str, 'pid': int, 'machine': str, 'born': str, 'id': str}
    kinds |= {'generation': int, 'renewed': int, 'time': float}
    if all(isinstance(found[key], kind) for key, kind in kinds.items()):
      return found
  except (ValueError, KeyError, TypeError, RecursionError):
    pass
  raise ValueError(
    f'{path} is damaged: remove it, once you know that nothing runs there'
  )


def _who(there: dict[str, Any]) -> str:
  return f'process {there["pid"]} of {there["host"]}'


def _age(there: dict[str, Any]) -> float:
  return max(0.0, time.time() - there['time'])


def _is_here(there: dict[str, Any]) -> bool:
  """Whether its owner is of this machine, where it can be looked for."""
  return there['machine'] == _machine()


def _is_dead(there: dict[str, Any]) -> bool:
  if _is_here(there):
    return _born(there['pid']) != there['born']
  return _age(there) >= LAPSE


def _machine() -> str:
  """What processes share that can see one another; in containers names lie."""
  try:
    with open('/proc/sys/kernel/random/boot_id') as file:
      return f'{file.read().strip()} {os.readlink("/proc/self/ns/pid")}'
  except OSError:
    return socket.gethostname()


def _born(pid: int) -> str:
  """When a process began, as the system counts; '' where there is none."""
  try:
    with open(f'/proc/{pid}/stat') as file:
      return file.read().rpartition(')')[2].split()[19]
  except FileNotFoundError:
    return ''
