"""The JobSet of a job: a child Job for each slice, a pod for each machine."""

import hashlib
import json
from typing import Any

from base import exits
from launch.forecast import Forecast
from launch.gke import failures
from launch.gke.order import SLICE, Order
from launch.job import Job

GROUP = 'jobset.sigs.k8s.io'
# Ours: what `status` reads again, from any machine.
JOB, FORECAST, HASH = 'scale4d/job', 'scale4d/forecast', 'scale4d/hash'
# Between machines of a slice, between slices, of metrics, of JAX.
_PORTS = {'tpu': 8471, 'megascale': 8080, 'metrics': 8431, 'jax': 8482}
_KEPT_SEC = 7 * 24 * 3600  # after the end, for `status` and `logs`
# JobSet counts starts from 0. What follows takes the shell's place, so that
# SIGTERM comes to it.
_SCRIPT = f'export {exits.ATTEMPT}=$((RESTARTS + 1)); exec "$@"'


def make(order: Order, job: Job, forecast: Forecast) -> dict[str, Any]:
  """As plain values, which kubectl takes as JSON.

  Args:
    order: checked.
    job: that each pod runs.
    forecast: to be shown beside what is measured.
  """
  ours = {'app.kubernetes.io/managed-by': 'scale4d'}
  labels = dict(ours)
  if order.queue:  # not of pods, which Kueue would queue one by one
    labels['kueue.x-k8s.io/queue-name'] = order.queue
  annotations = {}
  if order.hosts > 1:
    # A slice of several machines is a pool of nodes of its own.
    key = 'alpha.jobset.sigs.k8s.io/exclusive-topology'
    annotations[key] = 'cloud.google.com/gke-nodepool'
  found = {
    'apiVersion': 'jobset.x-k8s.io/v1alpha2',
    'kind': 'JobSet',
    'metadata': {
      'name': order.name,
      'namespace': order.namespace,
      'labels': labels,
      'annotations': annotations,
    },
    'spec': {
      'ttlSecondsAfterFinished': _KEPT_SEC,
      'failurePolicy': {
        'maxRestarts': order.max_restarts,
        'rules': failures.of_jobs(),
      },
      'replicatedJobs': [
        {
          'name': SLICE,
          'replicas': order.slices,
          'template': {
            'spec': {
              'completionMode': 'Indexed',
              'parallelism': order.hosts,
              'completions': order.hosts,
              'backoffLimit': 0,
              'podFailurePolicy': {'rules': failures.of_pods()},
              'template': {
                'metadata': {'labels': ours},
                'spec': _pod(order, job),
              },
            }
          },
        }
      ],
    },
  }
  # What is asked for, by which a second `start` knows that it is there.
  annotations[HASH] = hashlib.sha256(
    json.dumps(found, sort_keys=True).encode()
  ).hexdigest()
  annotations[JOB] = str(job)
  annotations[FORECAST] = json.dumps(forecast.as_dict())
  return found


def _pod(order: Order, job: Job) -> dict[str, Any]:
  label, topology = (
    f'cloud.google.com/gke-tpu-{name}' for name in ('accelerator', 'topology')
  )
  nodes = {label: order.slice.gke_accelerator, topology: order.slice.topology}
  tolerations = [{'key': 'google.com/tpu', 'operator': 'Exists'}]
  if order.spot:
    spot = 'cloud.google.com/gke-spot'
    nodes[spot] = 'true'
    tolerations.append(
      {
        'key': spot,
        'operator': 'Equal',
        'value': 'true',
        'effect': 'NoSchedule',
      }
    )
  if order.reservation:
    nodes['cloud.google.com/reservation-name'] = order.reservation
  pod = {
    # The webhook's default is another one, with which rules are refused.
    'restartPolicy': 'Never',
    'terminationGracePeriodSeconds': order.grace_sec,
    'nodeSelector': nodes,
    'tolerations': tolerations,
    'containers': [_container(order, job)],
    # The default of 64 MB is too small for what data workers share.
    'volumes': [{'name': 'shm', 'emptyDir': {'medium': 'Memory'}}],
  }
  if order.priority:
    pod['priorityClassName'] = order.priority
  if order.service_account:
    pod['serviceAccountName'] = order.service_account
  if order.host_network:
    pod |= {'hostNetwork': True, 'dnsPolicy': 'ClusterFirstWithHostNet'}
  return pod


def _container(order: Order, job: Job) -> dict[str, Any]:
  restarts = f"metadata.labels['{GROUP}/restart-attempt']"
  variables = {'PYTHONUNBUFFERED': '1', **order.environment}
  container = {
    'name': failures.CONTAINER,
    'image': order.image,
    # In words, not a line of a shell.
    'command': [
      _literal(each) for each in ('sh', '-c', _SCRIPT, 'sh', *job.command)
    ],
    'env': [
      *({'name': k, 'value': _literal(v)} for k, v in variables.items()),
      {'name': 'RESTARTS', 'valueFrom': {'fieldRef': {'fieldPath': restarts}}},
    ],
    'ports': [
      {'name': name, 'containerPort': port, 'protocol': 'TCP'}
      for name, port in _PORTS.items()
    ],
    'resources': {
      'limits': {'google.com/tpu': order.slice.chips_per_host('gke')}
    },
    'securityContext': {'privileged': True},
    'volumeMounts': [{'name': 'shm', 'mountPath': '/dev/shm'}],
  }
  if order.secrets:
    container['envFrom'] = [
      {'secretRef': {'name': name}} for name in order.secrets
    ]
  return container


def _literal(text: str) -> str:
  """So that Kubernetes finds no $(VARIABLE) of its own in it."""
  return text.replace('$', '$$')
