"""How a launch stands: what JobSet, Kueue and the pods say, in few lines."""

import collections
import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any

from base import exits
from launch import forecast as forecast_lib
from launch import policy
from launch.gke import manifest
from launch.gke.kubectl import JOBSETS, WORKLOADS, Kubectl
from launch.gke.pods import Host, pods
from launch.job import Job

_SHOWN = 5  # hosts of a kind
# Why a container waits -> what to do.
_STUCK = {
  'ErrImagePull': 'does the image exist, and may the nodes read it?',
  'ImagePullBackOff': 'does the image exist, and may the nodes read it?',
  'InvalidImageName': 'give another --image',
  'CreateContainerConfigError': 'is each --secret in the namespace?',
  'CreateContainerError': 'is there `sh` and the command in the image?',
  'RunContainerError': 'is there `sh` and the command in the image?',
}


class Phase(enum.Enum):
  """Where a launch is on its way."""

  QUEUED = 'waits in a queue'
  WAITING = 'waits for machines'
  STUCK = 'cannot start'
  STARTING = 'starting'
  RUNNING = 'running'
  DONE = 'done'
  FAILED = 'failed'


@dataclasses.dataclass(frozen=True)
class State:
  """Of a launch.

  Attributes:
    phase: of it.
    why: more on that; '' where there is no more.
    code: that a launcher on the spot would end with; -1: it goes on.
    hosts: that are there, by their number.
    wanted: hosts of all slices.
    attempt: which start this is, from 1.
    restarts: that counted.
    max_restarts: that may.
  """

  phase: Phase
  why: str
  code: int
  hosts: tuple[Host, ...]
  wanted: int
  attempt: int
  restarts: int
  max_restarts: int

  def __str__(self) -> str:
    up = sum(host.is_up for host in self.hosts)
    why = f': {self.why}' if self.why else ''
    return (
      f'{self.phase.value}{why}; {up} of {self.wanted} hosts run; start '
      f'{self.attempt}, {self.restarts} of --max_restarts={self.max_restarts} '
      'counted'
    )


def jobset(kubectl: Kubectl, name: str) -> dict[str, Any]:
  """The JobSet of a launch.

  Raises:
    ValueError: there is none.
  """
  found = kubectl.find(JOBSETS, name)
  if not found:
    raise ValueError(
      f'there is no --name={name} in namespace {kubectl.namespace}: `kubectl '
      f'get {JOBSETS} --all-namespaces` lists all'
    )
  return found


def look(kubectl: Kubectl, found: Mapping[str, Any]) -> State:
  """How it stands now.

  Args:
    kubectl: of its namespace.
    found: the JobSet.

  Raises:
    ValueError: the cluster does not tell.
  """
  meta, spec, status = (
    found.get(k, {}) for k in ('metadata', 'spec', 'status')
  )
  (job,) = spec['replicatedJobs']
  each = job['template']['spec']['completions']
  hosts = pods(kubectl, meta['name'], each)
  restarts = status.get('restarts', 0)
  counted = status.get('restartsCountTowardsMax', 0)
  most = spec['failurePolicy']['maxRestarts']
  phase, why, code = Phase.STARTING, '', -1
  ends = {
    each['type']: each.get('message', '')
    for each in status.get('conditions', ())
    if each['status'] == 'True'
  }
  if 'Completed' in ends:
    phase, code = Phase.DONE, exits.DONE
  elif 'Failed' in ends:
    phase = Phase.FAILED
    ended = sorted((h for h in hosts if h.code >= 0), key=lambda h: h.ended)
    verdict = policy.verdict(
      [(host.process, host.code) for host in ended],
      restarts=counted,
      max_restarts=most,
    )
    code = verdict.code
    why = f'{verdict.why} ({ends["Failed"]})' if ended else ends['Failed']
  elif spec.get('suspend'):
    phase, why = Phase.QUEUED, _of_queue(kubectl, meta)
  else:
    phase, why = _of_pods(hosts, job['replicas'] * each)
  return State(
    phase=phase,
    why=why,
    code=code,
    hosts=tuple(hosts),
    wanted=job['replicas'] * each,
    attempt=restarts + 1,
    restarts=counted,
    max_restarts=most,
  )


def text(found: Mapping[str, Any], state: State) -> str:
  """Lines for people: of machines, of the job, of its steps.

  Raises:
    ValueError: what was written into the JobSet is damaged.
  """
  notes = found['metadata'].get('annotations', {})
  name = found['metadata']['name']
  lines = [f'{name}: {state}', f'job: {notes.get(manifest.JOB, "not ours")}']
  if manifest.FORECAST in notes:
    where = f'the annotations of {name}'
    forecast = forecast_lib.of_dict(json.loads(notes[manifest.FORECAST]), where)
    command = found['spec']['replicatedJobs'][0]['template']['spec'][
      'template'
    ]['spec']['containers'][0]['command']
    lines.append(forecast_lib.of_run(_workdir(command), forecast))
  kinds = collections.defaultdict(list)
  for host in state.hosts:
    kinds[host.kind].append(host)
  for kind, hosts in sorted(kinds.items(), key=lambda item: -len(item[1])):
    some = ', '.join(f'{host.process}' for host in hosts[:_SHOWN])
    more = ' ...' if len(hosts) > _SHOWN else ''
    lines.append(f'hosts {some}{more} ({len(hosts)}): {kind}')
  if state.phase is Phase.STUCK:
    lines.append(f'mend it, or `python -m launch.gke stop --name={name}`')
  return '\n'.join(lines)


def _of_pods(hosts: Sequence[Host], wanted: int) -> tuple[Phase, str]:
  for host in hosts:
    reason, _, message = host.waits.partition(': ')
    if reason in _STUCK:
      said = ' '.join(message.split())
      return (
        Phase.STUCK,
        f'host {host.process}: {reason}, {_STUCK[reason]} ({said})',
      )
  if sum(host.is_up for host in hosts) == wanted:
    return Phase.RUNNING, ''
  for host in hosts:
    if host.waits.startswith('Unschedulable'):
      return Phase.WAITING, f'host {host.process}: {host.waits}'
  return Phase.STARTING, ''


def _of_queue(kubectl: Kubectl, meta: Mapping[str, Any]) -> str:
  """What Kueue says of it."""
  queue = meta.get('labels', {}).get('kueue.x-k8s.io/queue-name', '')
  if not queue:
    return 'it is suspended, and in no queue'
  for workload in kubectl.list(WORKLOADS):
    owners = workload['metadata'].get('ownerReferences', ())
    if meta['uid'] not in [owner['uid'] for owner in owners]:
      continue
    said = {
      each['type']: each
      for each in workload.get('status', {}).get('conditions', ())
    }
    parts = [f'queue {queue}']
    if said.get('Evicted', {}).get('status') == 'True':
      parts.append(f'taken off its machines: {said["Evicted"]["message"]}')
    if said.get('QuotaReserved', {}).get('status') == 'False':
      parts.append(said['QuotaReserved']['message'])
    return ', '.join(parts)
  return f'queue {queue}, which Kueue has not looked at yet: is Kueue running?'


def _workdir(command: Sequence[str]) -> str:
  return Job(tuple(command), '').flag('workdir').replace('$$', '$')
