"""How a launch stands at this moment: machines, hosts, steps."""

import json
from collections.abc import Mapping, Sequence

from base import console
from launch import forecast as forecast_lib
from launch import job as job_lib
from launch import policy
from launch.tpu.fleet import Fleet, Reply
from launch.tpu.machine import Machines, Phase, State
from launch.tpu.record import STOP, Record

_SHOWN = 40  # hosts that are alike are told by their number beyond


def status(machines: Machines, record: Record) -> str:
  """Lines for people.

  Args:
    machines: of the launch.
    record: of it.

  Raises:
    Refused: the service does not tell.
  """
  found = machines.state()
  lines = [
    f'{record.name}: {record.slices} x {record.type} ({record.topology}, '
    f'{record.tier}) in {record.zone}: {found}',
    f'job: {job_lib.parse(record.command, one_disk=True)}',
  ]
  rows: Sequence[Mapping[str, str]] = ()
  unit = ''
  if found.phase is Phase.READY:
    fleet = Fleet(machines, found.hosts, record.name, record.code)
    replies = fleet.ask('state', record.attempt)
    rows = _rows(fleet, replies, record.attempt)
    unit = _counted(fleet, replies, record.attempt)
  lines.append(_of_attempt(record, found, unit))
  lines.append(_of_steps(record))
  if rows:
    lines.append(console.table(rows))
  return '\n'.join(lines)


def _of_attempt(record: Record, found: State, unit: str) -> str:
  counted = f'{record.restarts} restarts counted'
  if not record.attempt:
    text = 'not started yet'
  elif found.phase is Phase.READY:
    text = f'attempt {record.attempt}: {unit}; {counted}'
  else:
    text = f'attempt {record.attempt}: its machines are gone; {counted}'
  if record.outcome:
    return f'{text}; {record.outcome}'
  return text + ('; told to stop' if record.wanted == STOP else '')


def _counted(fleet: Fleet, replies: Mapping[int, Reply], attempt: int) -> str:
  """'3 of 4 hosts run it, 1 ended with 137 (SIGKILL)'."""
  kinds: dict[str, int] = {}
  for process in fleet.hosts:
    kind = _unit(replies.get(process), attempt)
    kinds[kind] = kinds.get(kind, 0) + 1
  return ', '.join(
    f'{count} of {len(fleet.hosts)} hosts: {kind}'
    for kind, count in kinds.items()
  )


def _unit(reply: Reply | None, attempt: int) -> str:
  if reply is None:
    return 'no answer'
  if reply.is_over:
    return f'ended with {policy.meaning(reply.exit)}'
  if reply.unit == 'running':
    return 'running'
  if reply.prepared == 'now':
    return 'installing'
  if reply.prepared.startswith('failed'):
    return 'cannot install'
  return 'not started'


def _rows(
  fleet: Fleet, replies: Mapping[int, Reply], attempt: int
) -> list[dict[str, str]]:
  """A line a host; where there are very many, of those that differ."""
  rows = []
  for process, host in fleet.hosts.items():
    reply = replies.get(process)
    last = reply.last if reply else fleet.silence.get(process, '')
    rows.append(
      {
        'host': f'{process}',
        'slice': f'{host.slice}',
        'worker': f'{host.worker}',
        'address': host.address,
        'job': _unit(reply, attempt),
        'last line': last[:60],
      }
    )
  if len(rows) > _SHOWN:
    usual = max({r['job'] for r in rows}, key=[r['job'] for r in rows].count)
    rows = [r for n, r in enumerate(rows) if not n or r['job'] != usual]
  return rows


def _of_steps(record: Record) -> str:
  """Measured beside predicted, from the run's own metrics."""
  job = job_lib.parse(record.command, one_disk=True)
  where = f'the forecast of {record.name}'
  forecast = forecast_lib.of_dict(record.forecast, where)
  return forecast_lib.of_run(job.flag('workdir'), forecast)


def as_json(machines: Machines, record: Record) -> str:
  """The same for programs: phase, attempt, restarts, and each host's job."""
  found = machines.state()
  jobs: dict[str, str] = {}
  if found.phase is Phase.READY:
    fleet = Fleet(machines, found.hosts, record.name, record.code)
    replies = fleet.ask('state', record.attempt)
    jobs = {f'{n}': _unit(replies.get(n), record.attempt) for n in fleet.hosts}
  return json.dumps(
    {
      'machines': found.word,
      'attempt': record.attempt,
      'restarts': record.restarts,
      'wanted': record.wanted,
      'outcome': record.outcome,
      'hosts': jobs,
    }
  )
