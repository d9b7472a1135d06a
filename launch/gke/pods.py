"""Pods of a launch: each a machine, and a process of the job."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from launch import policy
from launch.gke import failures, manifest
from launch.gke.kubectl import Kubectl

_INDEX = 'batch.kubernetes.io/job-completion-index'


@dataclasses.dataclass(frozen=True)
class Host:
  """A pod: a machine, a process of the job.

  Attributes:
    process: its number, over all slices.
    pod: its name.
    is_up: whether the command runs.
    code: that it ended with; -1: it has not.
    ended: when, as text that sorts.
    waits: why it does not run yet.
  """

  process: int
  pod: str
  is_up: bool
  code: int
  ended: str
  waits: str

  @property
  def kind(self) -> str:
    """How it stands, in a word or as its machine says it."""
    if self.code >= 0:
      return f'ended with {policy.meaning(self.code)}'
    return 'running' if self.is_up else self.waits or 'starting'


def pods(kubectl: Kubectl, name: str, hosts: int) -> list[Host]:
  """The newest pod of each number.

  Args:
    kubectl: of the namespace.
    name: of the JobSet.
    hosts: of a slice.
  """
  found = kubectl.list('pods', **{f'{manifest.GROUP}/jobset-name': name})
  newest: dict[int, Host] = {}
  for pod in sorted(
    found, key=lambda pod: pod['metadata']['creationTimestamp']
  ):
    host = _host(pod, hosts)
    newest[host.process] = host
  return [newest[process] for process in sorted(newest)]


def _host(pod: Mapping[str, Any], hosts: int) -> Host:
  meta, status = pod['metadata'], pod.get('status', {})
  known = {**meta.get('annotations', {}), **meta['labels']}
  slice_ = int(known[f'{manifest.GROUP}/job-index'])
  container: Mapping[str, Any] = {}
  for each in status.get('containerStatuses', ()):
    if each['name'] == failures.CONTAINER:
      container = each.get('state', {})
  ended = container.get('terminated', {})
  code = ended.get('exitCode', -1)
  waits = ''
  if 'waiting' in container:
    reason = container['waiting'].get('reason', '')
    waits = f'{reason}: {container["waiting"].get("message", "")}'
  elif status.get('phase') == 'Pending':
    waits = next(
      (
        f'{each.get("reason", "")}: {each.get("message", "")}'
        for each in status.get('conditions', ())
        if each['type'] == 'PodScheduled' and each['status'] == 'False'
      ),
      '',
    )
  elif status.get('phase') == 'Failed' and code < 0:
    code = policy.ABORTED  # the machine went, and told nothing
  return Host(
    process=slice_ * hosts + int(known[_INDEX]),
    pod=meta['name'],
    is_up='running' in container,
    code=code,
    ended=ended.get('finishedAt') or '',
    waits=waits.strip(': '),
  )
