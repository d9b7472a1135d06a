"""Ends a launch: the job saves, the machines are given back."""

import time

from base.console import duration, say
from launch.tpu import record as record_lib
from launch.tpu import rent
from launch.tpu.fleet import Fleet
from launch.tpu.machine import Machines, Phase
from launch.tpu.record import Record

_NEWS = 30.0


def stop(
  machines: Machines,
  record: Record,
  *,
  keep: bool,
  grace_sec: float,
  poll_sec: float,
) -> None:
  """Tells the job to save and stop, waits for it, gives the machines back.

  Args:
    machines: of the launch.
    record: of it.
    keep: the machines.
    grace_sec: seconds after which what still runs is killed.
    poll_sec: seconds between two looks.

  Raises:
    ValueError: a host does not answer, and machines are to be kept.
  """
  # A command that follows it does not start it again.
  record_lib.change(record.name, wanted=record_lib.STOP)
  found = rent.look(machines)
  if found.phase is Phase.READY and record.attempt:
    fleet = Fleet(machines, found.hosts, record.name, record.code)
    _end(fleet, record.attempt, grace_sec, poll_sec, keep)
  if keep:
    say(f'{record.name}: the machines are kept, and cost')
    return
  rent.down(machines, record.name, poll_sec)


def _end(
  fleet: Fleet, number: int, grace_sec: float, poll_sec: float, keep: bool
) -> None:
  began = told = time.monotonic()
  replies = fleet.ask('stop', number)
  while True:
    running = [n for n, reply in replies.items() if reply.unit == 'running']
    waited = time.monotonic() - began
    if not running:
      break
    if waited > grace_sec:
      say(f'{len(running)} hosts still run it: killed')
      fleet.ask('stop', number, '--kill')
      break
    if time.monotonic() - told > _NEWS:
      told = time.monotonic()
      say(f'{len(running)} hosts are saving ({duration(waited)})')
    time.sleep(min(poll_sec, 5.0))
    replies = fleet.ask('state', number)
  codes = sorted({reply.exit for reply in replies.values() if reply.is_over})
  say(
    f'attempt {number}: {len(replies) - len(running)} hosts have ended it'
    + (f' with {", ".join(map(str, codes))}' if codes else '')
  )
  if keep and len(replies) < len(fleet.hosts):
    raise ValueError(
      f'{fleet.missing(replies)}: the job may go on there; `stop` without '
      '--keep deletes the machines'
    )
