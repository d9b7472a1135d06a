"""From an order to machines that are ready, and back to none."""

import time

from base.console import duration, say
from launch.tpu.machine import Machines, Order, Phase, State
from launch.tpu.refusals import Refused, kind_of

_PATIENCE = 600.0  # seconds that the service may not answer
_NEWS = 600.0  # seconds between lines that say that nothing has changed
_RETRY = 60.0  # seconds between two requests for what is not free
_DEAD = (Phase.LOST, Phase.FAILED, Phase.LEAVING)


def up(
  machines: Machines, order: Order, poll_sec: float, *, again: bool = False
) -> State:
  """Machines that are ready: those that are there, or new ones.

  What was taken away or failed before is given back first: it never comes back
  by itself, and keeps its name.

  Args:
    machines: of the order.
    order: what is rented.
    poll_sec: seconds between two looks.
    again: whether the job has run on such machines before: then what is not
      free at this moment is waited for.

  Raises:
    Refused: they cannot be had.
    ValueError: they did not come in time.
  """
  found = look(machines)
  if found.phase in _DEAD:
    say(f'{order.name} is {found}: deleting it, to ask anew')
    down(machines, order.name, poll_sec)
    found = look(machines)
  if found.phase is Phase.ABSENT:
    say(f'renting {order}')
    _create(machines, order, again)
  elif found.phase is not Phase.READY:
    say(f'{order.name} was asked for before')
  return _wait(machines, order, poll_sec)


def down(machines: Machines, name: str, poll_sec: float) -> None:
  """Gives machines back, and waits until their name is free.

  Args:
    machines: to give back.
    name: of them.
    poll_sec: seconds between two looks.
  """
  found = look(machines)
  if found.phase is not Phase.ABSENT:
    if found.phase is not Phase.LEAVING:
      machines.delete()
    began = told = time.monotonic()
    while look(machines).phase is not Phase.ABSENT:
      if time.monotonic() - told > _NEWS:
        told = time.monotonic()
        say(f'{name}: being deleted since {duration(told - began)}')
      time.sleep(poll_sec)
  say(f'{name}: nothing is rented')


def _create(machines: Machines, order: Order, again: bool) -> None:
  until = time.monotonic() + (order.wait_sec if again else 0.0)
  while True:
    try:
      machines.create()
      return
    except Refused as refused:
      # What was taken away may count for a while after it is gone.
      passes = refused.kind in ('quota', 'capacity', 'passing', 'exists')
      if not passes or time.monotonic() > until:
        raise
      say(f'{refused}; trying again in {duration(_RETRY)}')
    time.sleep(_RETRY)


def look(machines: Machines) -> State:
  """Their state, even if the service does not answer for a while.

  Raises:
    Refused: it says no, or nothing for ten minutes.
  """
  until = time.monotonic() + _PATIENCE
  pause = 2.0
  while True:
    try:
      return machines.state()
    except Refused as refused:
      if refused.kind != 'passing' or time.monotonic() > until:
        raise
      say(f'{refused}; trying again in {duration(pause)}')
    time.sleep(pause)
    pause = min(60.0, 2 * pause)


def _wait(machines: Machines, order: Order, poll_sec: float) -> State:
  began = time.monotonic()
  before, told = '', 0.0
  while True:
    found = look(machines)
    now = time.monotonic()
    if found.phase is Phase.READY:
      say(f'{order.name} is ready after {duration(now - began)}')
      return found
    if str(found) != before or now - told > _NEWS:
      before, told = str(found), now
      say(f'{order.name} is {found} ({duration(now - began)})')
    if found.phase in _DEAD or found.phase is Phase.ABSENT:
      # It keeps its name, and perhaps quota, until it is deleted.
      down(machines, order.name, poll_sec)
      _, remedy = kind_of(found.why)
      remedy = remedy or 'start it again, perhaps in another --zone'
      raise ValueError(f'{order} did not come, {found}: {remedy}')
    if now - began > order.wait_sec:
      raise ValueError(
        f'{order} is {found} after {duration(now - began)} of waiting '
        '(--wait_hours): the same command waits on, and `python -m launch.tpu '
        f'stop --name={order.name}` gives it up'
      )
    time.sleep(poll_sec)
