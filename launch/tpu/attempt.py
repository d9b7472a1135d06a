"""One start of the job on all hosts, until all of them have ended it."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

from base.console import duration, say
from launch import policy
from launch.tpu import record as record_lib
from launch.tpu.code import Pack
from launch.tpu.fleet import Fleet, Reply
from launch.tpu.machine import Machines, Phase
from launch.tpu.refusals import Refused

_NEWS = 120.0  # seconds between two lines that say that nothing has changed


@dataclasses.dataclass(frozen=True)
class Pace:
  """How long what may take.

  Attributes:
    poll_sec: seconds between two looks at the hosts.
    join_sec: within which all hosts must have answered that they run it.
    prepare_sec: within which what the job needs must be installed.
    grace_sec: between the first failure, the order to stop, and the end of the
      others.
    silent_sec: after which a host that does not answer is taken for lost.
  """

  poll_sec: float = 30.0
  join_sec: float = 300.0
  prepare_sec: float = 1800.0
  grace_sec: float = 60.0
  silent_sec: float = 300.0


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


class LostError(Exception):
  """Machines went while something was done on them."""


def prepare(
  fleet: Fleet, pack: Pack, pace: Pace, check: Callable[[], None]
) -> None:
  """Brings the checkout to all hosts, and what it needs.

  Args:
    fleet: the hosts.
    pack: the checkout.
    pace: of looking.
    check: raises LostError where the machines have gone.

  Raises:
    ValueError: a host does not answer, or cannot install it.
  """
  replies = fleet.ask('prepare')
  began = told = time.monotonic()
  while True:
    missing = [n for n in fleet.hosts if n not in replies]
    if missing:
      say(
        f'copying this checkout ({pack.said}; {len(pack.data) >> 10} KiB) to '
        f'{len(missing)} hosts'
      )
      fleet.copy(pack, missing)
      replies |= fleet.tell(fleet.unpack_command())
    _check_installs(fleet, replies)
    late = [n for n in fleet.hosts if _prepared(replies, n) != 'yes']
    if not late:
      say(f'{len(replies)} hosts have the checkout and what it needs')
      return
    check()
    waited = time.monotonic() - began
    silent = fleet.missing(replies)
    if silent and waited > pace.join_sec:
      raise ValueError(
        f'{silent}: is ssh open in the firewall, or is the way another one '
        '(--through=)? Start it again to try again; `stop` gives the machines '
        'back'
      )
    if waited > pace.prepare_sec:
      raise ValueError(
        f'{len(late)} hosts, such as {fleet.hosts[late[0]]}, install what the '
        f'job needs since {duration(waited)}: start it again, which goes on'
      )
    if time.monotonic() - told > _NEWS:
      told = time.monotonic()
      say(f'{len(late)} hosts install what the job needs ({duration(waited)})')
    time.sleep(min(pace.poll_sec, 10.0))
    replies = fleet.ask('prepare')


def _prepared(replies: Mapping[int, Reply], process: int) -> str:
  return replies[process].prepared if process in replies else ''


def _check_installs(fleet: Fleet, replies: Mapping[int, Reply]) -> None:
  """Raises ValueError if a host cannot install what the job needs."""
  failed = [n for n in replies if _prepared(replies, n).startswith('failed: ')]
  if failed:
    why = replies[failed[0]].prepared.removeprefix('failed: ')
    raise ValueError(
      f'{len(failed)} of {len(fleet.hosts)} hosts cannot install what the job '
      f'needs, {fleet.hosts[failed[0]]}: {why}; its install.log has more; or '
      'give an interpreter of the hosts that has it, --python='
    )


def start(
  fleet: Fleet, number: int, pace: Pace, check: Callable[[], None]
) -> None:
  """Starts an attempt on all hosts; returns when each has said that it runs.

  Raises:
    ValueError: a host did not; those that did have been ended.
  """
  addresses = ','.join(fleet.hosts[n].address for n in sorted(fleet.hosts))
  began = time.monotonic()
  while True:
    replies = fleet.ask('start', number, f'--hosts={addresses}')
    reported = [n for n, reply in replies.items() if reply.unit != 'none']
    if len(reported) == len(fleet.hosts):
      say(f'attempt {number} runs on {len(reported)} hosts')
      return
    check()
    if time.monotonic() - began > pace.join_sec:
      fleet.ask('stop', number, '--kill')
      raise ValueError(
        f'attempt {number} did not start: {fleet.missing(replies)}; '
        f'{len(reported)} of {len(fleet.hosts)} hosts had it, and were stopped'
      )
    say(f'{len(reported)} of {len(fleet.hosts)} hosts run it; once more')
    time.sleep(min(pace.poll_sec, 5.0))


class Watch:
  """Looks at the hosts of an attempt until it is over."""

  def __init__(self, machines: Machines, fleet: Fleet, name: str, pace: Pace):
    self._machines, self._fleet = machines, fleet
    self._name, self._pace = name, pace
    self._ends: dict[int, tuple[float, int]] = {}
    self._made_to: set[int] = set()
    self._silent: dict[int, float] = {}
    self._failed = 0.0

  def wait(self, number: int) -> End:
    """Until the attempt of that number is over, or the machines are gone."""
    while True:
      lost = gone(self._machines)
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

  def _end_others(self, number: int, replies: Mapping[int, Reply]) -> None:
    """Those that go on beside a failed one wait for it, perhaps for ever."""
    waited = time.monotonic() - self._failed
    running = {n for n, reply in replies.items() if reply.unit == 'running'}
    if not running or waited < self._pace.grace_sec:
      return
    if waited > 2 * self._pace.grace_sec:
      self._fleet.ask('stop', number, '--kill')
    elif not running <= self._made_to:
      say(f'{len(running)} hosts went on beside it: told to stop')
      self._fleet.ask('stop', number)
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


def gone(machines: Machines) -> str:
  """Why machines are of no use any more; '' if they are, or nobody says."""
  try:
    found = machines.state()
  except Refused as refused:
    if refused.kind == 'passing':
      return ''
    raise
  if found.phase in (Phase.READY, Phase.MAKING):
    return ''
  return f'{found}'
