"""Attempt after attempt, on machines that are rented anew where they went."""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator

from base import exits
from base.console import duration, say
from launch import policy
from launch.tpu import attempt as attempt_lib
from launch.tpu import record as record_lib
from launch.tpu import rent
from launch.tpu.attempt import LostError, Pace
from launch.tpu.code import Pack
from launch.tpu.fleet import Fleet
from launch.tpu.machine import Machines, Order, Phase
from launch.tpu.record import Record
from launch.tpu.refusals import Refused
from launch.tpu.tail import Tail
from launch.tpu.watch import End, Watch


@dataclasses.dataclass(frozen=True)
class Launch:
  """What is started, and again.

  Attributes:
    machines: of the order.
    order: what is rented.
    pack: what travels there.
    pace: of looking.
    max_restarts: starts after a crash.
    keep: whether machines stay rented when the job is done.
  """

  machines: Machines
  order: Order
  pack: Pack
  pace: Pace
  max_restarts: int
  keep: bool


def run(launch: Launch, record: Record) -> int:
  """The exit code of the job; it goes on without this command, if interrupted.

  Args:
    launch: what is started.
    record: of this launch, as this command has just written it or found it.

  Raises:
    ValueError: something that a person must mend.
  """
  name = launch.order.name
  with _leaving(name):
    is_again = record.attempt > 0
    while True:
      if record_lib.load(name).wanted == record_lib.STOP:
        return exits.AGAIN
      try:
        fleet = _ready(launch, record, is_again)
        record = _started(launch, record, fleet)
        end = _followed(launch, record, fleet)
      except LostError as lost:
        end = End(lost=f'{lost}')
      is_again = True
      if end.lost:
        say(f'{name}: {end.lost}; it does not count as a restart')
        if record_lib.load(name).wanted == record_lib.STOP:
          continue
        # A host that is silent may be there: its slice is given back whole.
        rent.down(launch.machines, name, launch.pace.poll_sec)
        continue
      verdict = policy.verdict(
        end.ended, restarts=record.restarts, max_restarts=launch.max_restarts
      )
      if verdict.counts and attempt_lib.gone(launch.machines):
        # The machines went first, which showed only now: the next turn of this
        # loop finds out, and it is nobody's fault.
        say(f'attempt {record.attempt}: {verdict.why}, with its machines')
        continue
      say(f'attempt {record.attempt}: {verdict.why}')
      if end.is_told or not verdict.again:
        record_lib.change(name, outcome=verdict.why)
        if not end.is_told:
          _leave(launch, verdict.is_done)
        return verdict.code
      record = record_lib.change(
        name, restarts=record.restarts + verdict.counts
      )
      pause = policy.pause(record.restarts if verdict.counts else 0)
      say(f'starting again in {duration(pause)}')
      time.sleep(pause)


def _ready(launch: Launch, record: Record, is_again: bool) -> Fleet:
  """Hosts that have the checkout and what it needs."""
  found = rent.up(
    launch.machines, launch.order, launch.pace.poll_sec, again=is_again
  )
  fleet = Fleet(launch.machines, found.hosts, record.name, record.code)
  attempt_lib.prepare(
    fleet, launch.pack, launch.pace, lambda: _check(launch.machines)
  )
  return fleet


def _started(launch: Launch, record: Record, fleet: Fleet) -> Record:
  """The record with the attempt that runs: the one that does, or a new one."""
  if record.attempt:
    replies = fleet.ask('state', record.attempt)
    running = [n for n, reply in replies.items() if reply.unit == 'running']
    if running:
      say(f'attempt {record.attempt} runs: following it')
      return record
  record = record_lib.change(record.name, attempt=record.attempt + 1)
  attempt_lib.start(
    fleet, record.attempt, launch.pace, lambda: _check(launch.machines)
  )
  return record


def _followed(launch: Launch, record: Record, fleet: Fleet) -> End:
  """Shows the log of host 0 until the attempt is over."""
  watch = Watch(launch.machines, fleet, record.name, launch.pace)
  with Tail(
    launch.machines, fleet, fleet.hosts[0], record.attempt, _show
  ) as tail:
    end = watch.wait(record.attempt)
    if not end.lost:
      tail.wait(2 * launch.pace.poll_sec)  # for its last lines
  return end


def _show(line: str) -> None:
  say(f'[0] {line}')


def _check(machines: Machines) -> None:
  lost = attempt_lib.gone(machines)
  if lost:
    raise LostError(lost)


def _leave(launch: Launch, is_done: bool) -> None:
  """Gives the machines back after a job that is done; else says they cost."""
  name = launch.order.name
  if is_done and not launch.keep:
    rent.down(launch.machines, name, launch.pace.poll_sec)
  elif launch.machines.state().phase is not Phase.ABSENT:
    say(
      f'the machines are kept, and cost: `python -m launch.tpu logs '
      f'--name={name} --host=K` reads their logs, `python -m launch.tpu stop '
      f'--name={name}` gives them back'
    )


@contextlib.contextmanager
def _leaving(name: str) -> Iterator[None]:
  """Inside, Ctrl-C, or a service that says no, ends this command alone."""
  try:
    yield
  except KeyboardInterrupt:
    say(
      f'\nno longer followed; what was started goes on, and is not started '
      f'again if it ends. The same command follows it again; `python -m '
      f'launch.tpu status --name={name}` shows it, `python -m launch.tpu stop '
      f'--name={name}` ends it'
    )
    sys.exit(exits.INTERRUPTED)
  except Refused:
    # Such as credentials that have expired, after days.
    say(
      'no longer followed; what was started goes on. The same command follows '
      'it again'
    )
    raise
