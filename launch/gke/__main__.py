"""Runs a command on TPU slices of a GKE cluster, as a JobSet.

    python -m launch.gke start --name=NAME --type=v5p-256 --slices=2 \\
      --image=us-docker.pkg.dev/PROJECT/REPOSITORY/scale4d:TAG -- \\
      python -m train --config=configs/mae.py:size=e --workdir=gs://BUCKET/RUN
    python -m launch.gke status --name=NAME
    python -m launch.gke logs --name=NAME --host=3 --follow
    python -m launch.gke stop --name=NAME

`start` plans the job, hands the JobSet over and ends; the cluster starts it,
and starts it again by exit codes, whether this machine is on or not. `stop`
lets it save. The cluster is kubectl's current one, or --context's.
"""

import sys
from collections.abc import Sequence

from absl import flags

from base import command
from launch import forecast as forecast_lib

_VERBS = ('start', 'status', 'logs', 'stop')
_NAME = flags.DEFINE_string('name', None, 'Of the JobSet.')
_NAMESPACE = flags.DEFINE_string('namespace', 'default', 'Of the cluster.')
_CONTEXT = flags.DEFINE_string(
  'context', '', "Of kubectl, that is a cluster; '': the current one."
)
_TYPE = flags.DEFINE_string('type', '', 'Of a slice, as v5p-256.')
_TOPOLOGY = flags.DEFINE_string(
  'topology', '', 'Its shape in place of --type, as v5p:4x4x8.'
)
_SLICES = flags.DEFINE_integer('slices', 1, 'How many.', lower_bound=1)
_IMAGE = flags.DEFINE_string(
  'image', '', 'Container with this checkout and what it needs.'
)
_QUEUE = flags.DEFINE_string('queue', '', 'LocalQueue of Kueue, if any.')
_PRIORITY = flags.DEFINE_string('priority', '', 'PriorityClass, if any.')
_SPOT = flags.DEFINE_bool('spot', False, 'Cheaper, and taken away at times.')
_RESERVATION = flags.DEFINE_string('reservation', '', 'Its name, if any.')
_ACCOUNT = flags.DEFINE_string(
  'service_account', '', 'Of Kubernetes, that may read and write --workdir.'
)
_SECRETS = flags.DEFINE_multi_string(
  'secret', [], 'Secret of Kubernetes, whose keys become variables.'
)
_ENV = flags.DEFINE_multi_string(
  'env', [], 'NAME=VALUE, which all who may read the JobSet see.'
)
_HOST_NETWORK = flags.DEFINE_bool(
  'host_network',
  False,
  'Of machines in place of pods: faster between slices; gs:// is then reached '
  "by the nodes' account, not by Workload Identity.",
)
_MAX_RESTARTS = flags.DEFINE_integer(
  'max_restarts',
  3,
  'Crashes after which all hosts are started again; a stop after a save, or '
  'machines that were taken away, do not count.',
  lower_bound=0,
)
_GRACE = flags.DEFINE_integer(
  'grace',
  300,
  'Seconds to save in when told to stop: more than a step and a save.',
  lower_bound=1,
)
_VIA = flags.DEFINE_enum(
  'via', 'kubectl', ('kubectl', 'xpk', 'gcluster'), 'By which tool.'
)
_CLUSTER = flags.DEFINE_string('cluster', '', 'For --via=xpk and gcluster.')
_PROJECT = flags.DEFINE_string('project', '', 'For --via=xpk and gcluster.')
_ZONE = flags.DEFINE_string('zone', '', 'For --via=xpk and gcluster.')
_DRY_RUN = flags.DEFINE_bool(
  'dry_run', False, 'Print the command and the JobSet, and do nothing.'
)
_HOST = flags.DEFINE_integer('host', 0, 'Whose log.', lower_bound=0)
_FOLLOW = flags.DEFINE_bool('follow', False, 'Show the log as it grows.')
_TAIL = flags.DEFINE_integer('tail', -1, 'Last lines of a log; -1: all.', -1)
_PLAN = forecast_lib.flag()


def main(words: Sequence[str]) -> None:
  """Does what the first word says."""
  from base import names
  from launch.gke import start, state
  from launch.gke.kubectl import Kubectl

  verb, *rest = words
  names.choose('command of launch.gke', verb, _VERBS)
  kubectl = Kubectl(_NAMESPACE.value, _CONTEXT.value)
  if verb == 'start':
    _start(kubectl, rest)
    return
  if rest:
    raise ValueError(f'`launch.gke {verb}` takes flags only, got {rest}')
  name = _NAME.value
  if verb == 'status':
    found = state.jobset(kubectl, name)
    print(state.text(found, state.look(kubectl, found)))
  elif verb == 'stop':
    print(start.stop(kubectl, name))
  else:
    sys.exit(
      start.logs(
        kubectl, name, _HOST.value, follow=_FOLLOW.value, tail=_TAIL.value
      )
    )


def _start(kubectl, words: Sequence[str]) -> None:
  import json
  import shlex

  from base.console import say
  from launch import job as job_lib
  from launch.gke import manifest, order, others, start

  asked = _order()
  order.check(asked)
  job = job_lib.parse(words, one_disk=False)
  if order.moves(asked.image):
    say(
      f'note: --image={asked.image} has no tag that stays: started again, the '
      'job may run other code'
    )
  other = []
  if _VIA.value != 'kubectl':
    other = others.words(
      _VIA.value,
      asked,
      job,
      cluster=_CLUSTER.value,
      project=_PROJECT.value,
      zone=_ZONE.value,
    )
  forecast = forecast_lib.check(
    job, asked.slice.name, slices=asked.slices, how=_PLAN.value
  )
  say(str(forecast))
  if asked.grace_sec <= forecast.step_sec:
    raise ValueError(
      f'--grace={asked.grace_sec} is shorter than a step of '
      f'{forecast.step_sec:.0f} s: expected more than a step and a save'
    )
  if other:
    print(shlex.join(other))
    if not _DRY_RUN.value:
      sys.exit(others.run(other))
    return
  wanted = manifest.make(asked, job, forecast)
  if _DRY_RUN.value:
    print(shlex.join(kubectl.words('create', '--filename=-')))
    print(json.dumps(wanted, indent=2))
    return
  say(start.start(kubectl, asked, wanted))
  say(f'python -m launch.gke status --name={asked.name}', _place(kubectl))


def _order():
  from launch import job as job_lib
  from launch import machines
  from launch.gke.order import Order

  slice_ = machines.asked(_TYPE.value, _TOPOLOGY.value)
  environment = {}
  for each in _ENV.value:
    name, equals, value = each.partition('=')
    if not (name and equals):
      raise ValueError(f'--env={each}: expected NAME=VALUE')
    job_lib.check_variable(name)
    environment[name] = value
  return Order(
    name=_NAME.value,
    slice=slice_,
    image=_IMAGE.value,
    slices=_SLICES.value,
    namespace=_NAMESPACE.value,
    queue=_QUEUE.value,
    priority=_PRIORITY.value,
    spot=_SPOT.value,
    reservation=_RESERVATION.value,
    service_account=_ACCOUNT.value,
    secrets=tuple(_SECRETS.value),
    environment=environment,
    host_network=_HOST_NETWORK.value,
    max_restarts=_MAX_RESTARTS.value,
    grace_sec=_GRACE.value,
  )


def _place(kubectl) -> str:
  """Flags that the next command needs too."""
  return ' '.join(kubectl.words()[1:])


if __name__ == '__main__':
  command.run(
    main,
    required=['name'],
    words='start, status, logs or stop',
    starts='start',
  )
