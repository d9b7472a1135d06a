"""The beginning of a launch: what is checked, written down, and said."""

import json
import shlex

from base.console import say
from launch import machines as machines_lib
from launch.forecast import Forecast
from launch.job import Job
from launch.tpu import code as code_lib
from launch.tpu import record as record_lib
from launch.tpu import run as run_lib
from launch.tpu.attempt import Pace
from launch.tpu.code import Work
from launch.tpu.fleet import Fleet
from launch.tpu.machine import Host, Order
from launch.tpu.queued import QueuedResource, Reach
from launch.tpu.record import Record


def going_on(job: Job, order: Order) -> Record | None:
  """The launch of that name, if it is not over; None if there is none.

  Raises:
    ValueError: it runs another command, or on other machines.
  """
  found = record_lib.find(order.name)
  if found is None or _is_over(found) or not found.attempt:
    return None
  if tuple(found.command) != job.command:
    raise ValueError(
      f'--name={order.name} runs another command, `{shlex.join(found.command)}`'
      f': choose another name, or end it by `python -m launch.tpu stop '
      f'--name={order.name}`'
    )
  theirs = (found.type, found.topology, found.slices)
  ours = (order.slice.accelerator_type, order.slice.name, order.slices)
  if theirs != ours:
    raise ValueError(
      f'--name={order.name} is {found.slices} x {found.type}, not '
      f'{order.slices} x {order.slice.accelerator_type}: choose another name, '
      f'or give it back by `python -m launch.tpu stop --name={order.name}`'
    )
  return found


def _is_over(record: Record) -> bool:
  """Whether it ended by itself, or was ended while nobody followed it."""
  return bool(record.outcome) or record.wanted == record_lib.STOP


def begin(
  order: Order,
  reach: Reach,
  work: Work,
  forecast: Forecast,
  *,
  pace: Pace,
  max_restarts: int,
  keep: bool,
) -> int:
  """Starts a launch, or goes on with the one of that name; its exit code.

  Args:
    order: what is rented.
    reach: where.
    work: what runs there.
    forecast: of it.
    pace: of looking.
    max_restarts: starts after a crash.
    keep: the machines, when the job is done.

  Raises:
    ValueError: something that a person must mend.
  """
  machines = QueuedResource(order, reach)
  pack = code_lib.pack(work)
  with record_lib.followed(order.name):
    before = record_lib.find(order.name)
    is_new = before is None or _is_over(before)
    record = record_lib.save(
      Record(
        name=order.name,
        project=reach.project,
        zone=reach.zone,
        type=order.slice.accelerator_type,
        topology=order.slice.name,
        slices=order.slices,
        tier=order.tier,
        through=reach.through,
        ssh_port=reach.ssh_port,
        command=list(work.command),
        code=pack.name,
        wait_sec=order.wait_sec,
        attempt=before.attempt if before else 0,
        restarts=0 if is_new else before.restarts,
        wanted=record_lib.RUN,
        outcome='',
        forecast=forecast.as_dict(),
      )
    )
    say(f'{order.name}: {shlex.join(work.command)}')
    launch = run_lib.Launch(machines, order, pack, pace, max_restarts, keep)
    return run_lib.run(launch, record)


def of_record(record: Record) -> tuple[Order, Reach]:
  """What was rented, and where."""
  order = Order(
    name=record.name,
    slice=machines_lib.parse(record.topology),
    slices=record.slices,
    tier=record.tier,
    wait_sec=record.wait_sec,
  )
  reach = Reach(
    project=record.project,
    zone=record.zone,
    through=record.through,
    ssh_port=record.ssh_port,
  )
  return order, reach


def dry_run(order: Order, reach: Reach, work: Work) -> str:
  """Every command, in order, and every file, without values of --env."""
  machines, pack = QueuedResource(order, reach), code_lib.pack(work)
  fleet = Fleet(machines, [], order.name, pack.name)
  addresses = ','.join(f'ADDRESS-{n}' for n in range(min(order.hosts, 2)))
  shown = {**vars(work), 'environment': dict.fromkeys(work.environment, '...')}
  copied = f'{order.name}-{pack.name}.tar.gz'
  first = Host(0, 0, 0, 'ADDRESS-0')
  steps = [
    ('rent', machines.create_words()),
    ('look, until it is ACTIVE', machines.look_words()),
    ('list nodes, until all are READY', machines.list_words()),
    (f'copy {pack.said}', machines.copy_words(copied, copied, None)),
    ('unpack, install', machines.run_words(fleet.unpack_command(), None)),
    (
      'start on all hosts',
      machines.run_words(
        fleet.command('start', '--attempt=1', f'--hosts={addresses},...'), None
      ),
    ),
    (
      'follow',
      machines.run_words(
        fleet.command('log', '--attempt=1', '--follow'), first
      ),
    ),
    (
      'look at all hosts',
      machines.run_words(fleet.command('state', '--attempt=1'), None),
    ),
    ('give back', machines.delete_words()),
  ]
  lines = [f'# {order}; nothing is done (--dry_run)']
  for what, words in steps:
    lines += [f'# {what}', shlex.join(map(str, words))]
  lines += ['# .launch/job.json in the checkout', json.dumps(shown, indent=1)]
  lines += ['# .launch/constraints.txt', *code_lib.constraints()]
  lines.append(f'# {record_lib.path_of(order.name)} has the state')
  return '\n'.join(lines)
