"""The log of one host of a launch."""

from launch.tpu import rent
from launch.tpu.fleet import Fleet
from launch.tpu.machine import Machines, Phase
from launch.tpu.record import Record
from launch.tpu.tail import Tail


def show(
  machines: Machines,
  record: Record,
  *,
  process: int,
  attempt: int,
  follow: bool,
) -> None:
  """Prints it.

  Args:
    machines: of the launch.
    record: of it.
    process: whose log.
    attempt: likewise.
    follow: until the attempt is over.

  Raises:
    ValueError: there is no such host now.
  """
  found = rent.look(machines)
  if found.phase is not Phase.READY or not attempt:
    raise ValueError(
      f'{record.name} has no logs now: it is {found}; those of hosts that are '
      'gone are gone with them'
    )
  fleet = Fleet(machines, found.hosts, record.name, record.code)
  if process not in fleet.hosts:
    raise ValueError(
      f'--host={process}: expected one of 0 to {len(fleet.hosts) - 1}'
    )
  host = fleet.hosts[process]
  with Tail(
    machines, fleet, host, attempt, print, offset=0, follow=follow
  ) as tail:
    tail.wait()
