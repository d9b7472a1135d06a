"""Rents slices of TPU VMs, runs a command on all their hosts, and follows it.

    python -m launch.tpu start --name=NAME --type=v5p-256 --slices=2 \
      --zone=us-east5-a --project=PROJECT --spot -- \
      python -m train --config=configs/mae.py:size=e --workdir=gs://BUCKET/RUN
    python -m launch.tpu status --name=NAME
    python -m launch.tpu logs --name=NAME --host=3
    python -m launch.tpu stop --name=NAME

`start` rents them (queued resources), or takes those of that name, waits for
them, copies this checkout, installs the packages of this interpreter in the
same versions, starts the command as a unit that outlives the connection, and
shows the log of host 0. What was preempted is rented anew, and the same command
goes on; a crash starts all hosts again, --max_restarts times. Ctrl-C leaves the
job running. Its exit code is that of the process which decided.
"""

import os
import sys
from collections.abc import Sequence

from absl import flags

from base import command
from launch import forecast as forecast_lib

_VERBS = ('start', 'status', 'logs', 'stop')
_NAME = flags.DEFINE_string('name', None, 'Of the launch and its machines.')
_TYPE = flags.DEFINE_string('type', '', 'Of a slice, as v5p-256.')
_TOPOLOGY = flags.DEFINE_string(
  'topology', '', 'Its shape in place of --type, as v5p:4x4x8.'
)
_SLICES = flags.DEFINE_integer('slices', 1, 'How many.', lower_bound=1)
_ZONE = flags.DEFINE_string('zone', '', 'Of Google Cloud, as us-east5-a.')
_PROJECT = flags.DEFINE_string('project', '', 'Of Google Cloud.')
_SPOT = flags.DEFINE_bool('spot', False, 'Cheaper, and taken away at times.')
_RESERVED = flags.DEFINE_bool('reserved', False, 'Of a reservation.')
_WAIT = flags.DEFINE_float(
  'wait_hours', 24.0, 'For machines, at most.', lower_bound=0.02
)
_MAX_RESTARTS = flags.DEFINE_integer(
  'max_restarts',
  3,
  'Crashes after which all hosts are started again; a stop after a save, or '
  'machines that were taken away, do not count.',
  lower_bound=0,
)
_KEEP = flags.DEFINE_bool(
  'keep', False, 'Keep the machines when the job is done, or by stop.'
)
_ENV = flags.DEFINE_multi_string(
  'env', [], 'Variable of the job: NAME=VALUE, or NAME as it is here.'
)
_PYTHON = flags.DEFINE_string(
  'python', '', 'Of the hosts, that has what the job needs; else it installs.'
)
_THROUGH = flags.DEFINE_enum(
  'through',
  'external',
  ('external', 'internal', 'iap'),
  'How ssh gets there: by addresses of the web, of the same network, or '
  'through Identity-Aware Proxy.',
)
_CREATE = flags.DEFINE_multi_string(
  'create_flag', [], "A further one of gcloud's create, as --network=NAME."
)
_DRY_RUN = flags.DEFINE_bool(
  'dry_run', False, 'Print every command and file, and do nothing.'
)
_HOST = flags.DEFINE_integer('host', 0, 'Whose log.', lower_bound=0)
_ATTEMPT = flags.DEFINE_integer('attempt', 0, 'Whose log; 0: the last.', 0)
_FOLLOW = flags.DEFINE_bool('follow', False, 'Show the log as it grows.')
_JSON = flags.DEFINE_bool('json', False, 'Status for programs.')
_JOIN = flags.DEFINE_enum(
  'join',
  'metadata',
  ('metadata', 'addresses'),
  'How processes find each other: as TPU VMs tell JAX, or by an address from '
  'here, on machines that tell nothing.',
)
_PORT = flags.DEFINE_integer(
  'port',
  8476,
  'At which they meet; one that firewalls of TPUs let through.',
  1,
  65535,
)
_SSH_PORT = flags.DEFINE_integer('ssh_port', 22, 'Of the hosts.', 1, 65535)
_ONE_DISK = flags.DEFINE_bool(
  'one_disk', False, 'All hosts see the disk of --workdir, as of Filestore.'
)
_POLL = flags.DEFINE_float(
  'poll_sec', 30.0, 'Between two looks at the hosts.', lower_bound=0.1
)
_SILENT = flags.DEFINE_float(
  'silent_sec', 300.0, 'After which a host without an answer is lost.', 0.1
)
_JOIN_SEC = flags.DEFINE_float(
  'join_sec',
  300.0,
  'Within which all hosts must have answered by ssh, and then have joined: '
  'those that have not are named.',
  1.0,
)
_GRACE = flags.DEFINE_float(
  'grace_sec',
  60.0,
  'After a failure, before the others are told to stop, and again before they '
  'are killed; for stop, seconds to save.',
  lower_bound=0.0,
)
_PLAN = forecast_lib.flag()


def main(words: Sequence[str]) -> None:
  """Does what the first word says."""
  from base import names

  verb, *rest = words
  names.choose('command of launch.tpu', verb, _VERBS)
  if verb == 'start':
    _start(rest)
    return
  if rest:
    raise ValueError(f'`launch.tpu {verb}` takes flags only, got {rest}')
  from launch.tpu import begin, log, queued, status, stop
  from launch.tpu import record as record_lib

  record = record_lib.load(_NAME.value)
  machines = queued.QueuedResource(*begin.of_record(record))
  if verb == 'status':
    show = status.as_json if _JSON.value else status.status
    print(show(machines, record))
  elif verb == 'logs':
    log.show(
      machines,
      record,
      process=_HOST.value,
      attempt=_ATTEMPT.value or record.attempt,
      follow=_FOLLOW.value,
    )
  else:
    stop.stop(
      machines,
      record,
      keep=_KEEP.value,
      grace_sec=_GRACE.value,
      poll_sec=_POLL.value,
    )


def _start(words: Sequence[str]) -> None:
  from launch import job as job_lib
  from launch import machines as machines_lib
  from launch.tpu import attempt, begin, code, machine, queued

  slice_ = machines_lib.asked(_TYPE.value, _TOPOLOGY.value)
  if _SPOT.value and _RESERVED.value:
    raise ValueError('expected at most one of --spot and --reserved')
  for name, value in (('zone', _ZONE.value), ('project', _PROJECT.value)):
    if not value:
      raise ValueError(f'--{name} must be given')
  tier = 'spot' if _SPOT.value else 'on-demand'
  order = machine.Order(
    name=_NAME.value,
    slice=slice_,
    slices=_SLICES.value,
    tier='reserved' if _RESERVED.value else tier,
    wait_sec=round(_WAIT.value * 3600),
  )
  job = job_lib.parse(words, one_disk=_ONE_DISK.value)
  reach = queued.Reach(
    project=_PROJECT.value,
    zone=_ZONE.value,
    through=_THROUGH.value,
    ssh_port=_SSH_PORT.value,
    create_flags=tuple(_CREATE.value),
  )
  work = code.Work(
    command=job.command,
    environment=_environment(),
    python=_PYTHON.value,
    packages=[] if _PYTHON.value else code.packages(job.flag('workdir')),
    join=_JOIN.value,
    port=_PORT.value,
  )
  pace = attempt.Pace(
    poll_sec=_POLL.value,
    join_sec=_JOIN_SEC.value,
    grace_sec=_GRACE.value,
    silent_sec=_SILENT.value,
  )
  queued.QueuedResource(order, reach)  # which checks the name and the slice
  found = begin.going_on(job, order)
  if found:
    forecast = forecast_lib.of_dict(found.forecast, found.name)
  else:
    forecast = forecast_lib.check(
      job, order.slice.name, slices=order.slices, how=_PLAN.value
    )
  print(forecast, flush=True)
  if _DRY_RUN.value:
    print(begin.dry_run(order, reach, work))
    return
  sys.exit(
    begin.begin(
      order,
      reach,
      work,
      forecast,
      pace=pace,
      max_restarts=_MAX_RESTARTS.value,
      keep=_KEEP.value,
    )
  )


def _environment() -> dict[str, str]:
  """Of --env; values that are not written there do not show in commands."""
  from launch import job as job_lib

  found = {}
  for each in _ENV.value:
    name, equals, value = each.partition('=')
    job_lib.check_variable(name)
    if not equals and name not in os.environ:
      raise ValueError(
        f'--env={name}: there is no such variable here, expected one that is '
        f'set, or --env={name}=VALUE'
      )
    found[name] = value if equals else os.environ[name]
  return found


if __name__ == '__main__':
  command.run(
    main,
    required=['name'],
    words='start, status, logs or stop',
    starts='start',
  )
