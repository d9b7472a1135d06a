"""A JobSet is handed over once, and taken back."""

import json
from collections.abc import Mapping
from typing import Any

from launch.gke import failures, manifest, state
from launch.gke.kubectl import JOBSETS, QUEUES, Kubectl
from launch.gke.order import Order


def start(kubectl: Kubectl, order: Order, wanted: Mapping[str, Any]) -> str:
  """Hands it over, unless it is there; what was done, in a line.

  A failed one of the same job is replaced; one that is done stays.

  Args:
    kubectl: of the namespace.
    order: what is asked for.
    wanted: the JobSet of it.

  Raises:
    ValueError: the name is another job's, the queue is not there, or the
      cluster does not take it.
  """
  there = kubectl.find(JOBSETS, order.name)
  again = ''
  if there:
    now = state.look(kubectl, there)
    notes = [
      each['metadata'].get('annotations', {}) for each in (there, wanted)
    ]
    remedy = f'`python -m launch.gke stop --name={order.name}` removes it'
    if notes[0].get(manifest.JOB) != notes[1][manifest.JOB]:
      raise ValueError(
        f'--name={order.name} is that of another job ({now.phase.value}): '
        f'{notes[0].get(manifest.JOB, "not ours")}; take another name, or '
        f'{remedy}'
      )
    if now.phase is state.Phase.DONE:
      return f'{order.name} is done: {remedy}'
    if now.phase is not state.Phase.FAILED:
      if notes[0].get(manifest.HASH) != notes[1][manifest.HASH]:
        raise ValueError(
          f'--name={order.name} is there ({now.phase.value}) with another '
          f'image, other machines or options: {remedy}'
        )
      return f'{order.name} is there already: {now}'
    kubectl.run('delete', JOBSETS, order.name, '--cascade=foreground')
    again = f', in place of the one that failed ({now.why})'
  if order.queue and not kubectl.find(QUEUES, order.queue):
    names = [each['metadata']['name'] for each in kubectl.list(QUEUES)]
    raise ValueError(
      f'--queue={order.queue} is no LocalQueue of namespace '
      f'{order.namespace}: expected one of {", ".join(names) or "none there"}'
    )
  kubectl.run('create', '--filename=-', given=json.dumps(wanted))
  return (
    f'{order.name} was created: {order.slices} x {order.slice.name}, '
    f'{order.all_hosts} hosts{again}'
  )


def stop(kubectl: Kubectl, name: str) -> str:
  """Tells all pods to save and stop, waits for it, and removes the JobSet.

  Raises:
    ValueError: there is none, or the cluster does not do it.
  """
  found = state.jobset(kubectl, name)
  now = state.look(kubectl, found)
  kubectl.run('delete', JOBSETS, name, '--cascade=foreground')
  return f'{name} was removed; it was {now.phase.value}'


def logs(
  kubectl: Kubectl, name: str, host: int, *, follow: bool, tail: int
) -> int:
  """Shows the log of a host; the exit code of kubectl.

  Args:
    kubectl: of the namespace.
    name: of the launch.
    host: its number, over all slices.
    follow: show what comes, too.
    tail: last lines of it; -1: all.

  Raises:
    ValueError: no such launch or host, or it has not started.
  """
  found = state.jobset(kubectl, name)
  now = state.look(kubectl, found)
  if not 0 <= host < now.wanted:
    raise ValueError(f'--host={host}: expected 0 to {now.wanted - 1}')
  pod = next((each for each in now.hosts if each.process == host), None)
  if pod is None or not (pod.is_up or pod.code >= 0):
    waits = pod.waits if pod else ''
    raise ValueError(
      f'--host={host} has no log yet: {name} is {now.phase.value}'
      f'{f" ({waits})" if waits else ""}; logs of earlier starts are in Cloud '
      'Logging, if the cluster sends them there'
    )
  words = ['logs', pod.pod, f'--container={failures.CONTAINER}']
  more = ['--follow'] if follow else []
  return kubectl.follow(*words, f'--tail={tail}', *more)
