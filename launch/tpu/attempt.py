"""One start of the job: the checkout on all hosts, then the job on all."""

import dataclasses
import time
from collections.abc import Callable, Mapping

from base.console import duration, say
from launch.tpu.code import Pack
from launch.tpu.fleet import Fleet, Reply
from launch.tpu.machine import Machines, Phase
from launch.tpu.refusals import Refused

_INSTALL = 1800.0  # seconds, of all that the job needs
_NEWS = 120.0  # seconds between two lines that say that nothing has changed


@dataclasses.dataclass(frozen=True)
class Pace:
  """How long what may take.

  Attributes:
    poll_sec: seconds between two looks at the hosts.
    join_sec: within which all hosts must have answered that they run it; and
      then between two lines on those whose process does not join the others.
    grace_sec: between the first failure, the order to stop, and the end of the
      others.
    silent_sec: after which a host that does not answer is taken for lost.
  """

  poll_sec: float
  join_sec: float
  grace_sec: float
  silent_sec: float


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
    if waited > _INSTALL:
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
