"""An attempt as it goes on, until all hosts have ended it or are gone."""

import dataclasses
import time
from collections.abc import Mapping, Sequence

from base.console import duration, say
from launch import policy
from launch.tpu import attempt
from launch.tpu import record as record_lib
from launch.tpu.fleet import Fleet, Reply
from launch.tpu.machine import Machines

_NAMED = 8  # hosts, one by one


@dataclasses.dataclass(frozen=True)
class End:
  """How an attempt ended.

  Attributes:
    ended: (process, code) in the order in which they did.
    lost: why the machines are not to be used any more; '': they are.
    is_told: whether somebody asked for it by `stop`.
  """

  ended: Sequence[tuple[int, int]] = ()
  lost: str = ''
  is_told: bool = False


class Watch:
  """Looks at the hosts of an attempt until it is over."""

  def __init__(
    self, machines: Machines, fleet: Fleet, name: str, pace: attempt.Pace
  ):
    self._machines, self._fleet = machines, fleet
    self._name, self._pace = name, pace
    self._ends: dict[int, tuple[float, int]] = {}
    self._made_to: set[int] = set()
    self._silent: dict[int, float] = {}
    self._failed = self._told = 0.0
    self._began = time.monotonic()

  def wait(self, number: int) -> End:
    """Until the attempt of that number is over, or the machines are gone."""
    while True:
      lost = attempt.gone(self._machines)
      if lost:
        return End(self._ended(), lost)
      replies = self._fleet.ask('state', number)
      over = self._look(replies)
      lost = self._silence(replies)
      if lost:
        return End(self._ended(), lost)
      if over:
        told = record_lib.load(self._name).wanted == record_lib.STOP
        return End(self._ended(), is_told=told)
      if self._failed:
        self._end_others(number, replies)
      else:
        self._check_join(replies)
      time.sleep(self._pace.poll_sec)

  def _look(self, replies: Mapping[int, Reply]) -> bool:
    """Notes who has ended; whether all have."""
    for process, reply in replies.items():
      if reply.is_over and process not in self._ends:
        # Nobody told when: it is the cause, since others end by themselves.
        self._ends[process] = (reply.time, reply.exit)
        if process in self._made_to:
          continue
        host = self._fleet.hosts[process]
        if not policy.is_good(reply.exit):
          self._failed = self._failed or time.monotonic()
          say(f'{host} ended with {policy.meaning(reply.exit)}: {reply.last}')
      elif reply.unit == 'none' and process not in self._ends:
        # Another machine is behind the address: what ran there is gone.
        self._ends[process] = (0.0, policy.as_shells_have_it(-9))
    return len(self._ends) == len(self._fleet.hosts)

  def _silence(self, replies: Mapping[int, Reply]) -> str:
    """Why a host is taken for lost; '' if none is.

    As long as no host answers, it is this machine that is cut off.
    """
    now = time.monotonic()
    if not replies:
      if not self._silent:
        say('no host answers; is this machine cut off? The job goes on')
      self._silent = dict.fromkeys(self._fleet.hosts, now)
      return ''
    for process in self._fleet.hosts:
      if process in replies:
        self._silent.pop(process, None)
      elif process not in self._silent:
        self._silent[process] = now
        say(
          self._fleet.missing(dict.fromkeys({*self._fleet.hosts} - {process}))
        )
    for process, since in self._silent.items():
      if now - since > self._pace.silent_sec:
        host = self._fleet.hosts[process]
        return f'{host} has not answered for {duration(now - since)}'
    return ''

  def _check_join(self, replies: Mapping[int, Reply]) -> None:
    """Names hosts for which others wait; JAX gives up without a name."""
    joins = {process: reply.joins for process, reply in replies.items()}
    if 'waits' not in joins.values() or 'yes' in joins.values():
      return
    now = time.monotonic()
    if now - self._began < self._pace.join_sec:
      return
    self._began = now
    missing = [process for process, word in joins.items() if word == 'no']
    for process in missing[:_NAMED]:
      say(
        f'{self._fleet.hosts[process]} has not joined the others; last line of '
        f'its log: {replies[process].last or "(it is empty)"}'
      )
    if len(missing) > _NAMED:
      say(f'nor have {len(missing) - _NAMED} more hosts')

  def _end_others(self, number: int, replies: Mapping[int, Reply]) -> None:
    """Those that go on beside a failed one wait for it, perhaps for ever."""
    now = time.monotonic()
    running = {n for n, reply in replies.items() if reply.unit == 'running'}
    if not running or now - self._failed < self._pace.grace_sec:
      return
    # A look takes its time: first they are told, however late it is.
    if not self._told:
      self._told = now
      say(f'{len(running)} hosts went on beside it: told to stop')
      self._fleet.ask('stop', number)
    elif now - self._told > self._pace.grace_sec:
      self._fleet.ask('stop', number, '--kill')
    self._made_to |= running

  def _ended(self) -> list[tuple[int, int]]:
    """In the order of time, without those that were made to."""
    return [
      (process, code)
      for process, (_, code) in sorted(
        self._ends.items(), key=lambda each: each[1][0]
      )
      if process not in self._made_to
    ]
