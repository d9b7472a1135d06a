"""The JobSet is what its own schema takes, and does what the policy says."""

import copy
import json
import re
import subprocess

import pytest

from launch import forecast, job, machines, policy
from launch.gke import manifest, order
from tests.launch.gke.schema import errors


def order_of(type_='v5p-256', **options):
  options = {'name': 'demo', 'image': 'docker.pkg.dev/p/r/scale4d:7'} | options
  return order.Order(slice=machines.parse(type_), **options)


def job_of(*words):
  words = ('python', '-m', 'train', *words, '--workdir=gs://bucket/run')
  return job.parse(words, one_disk=False)


def made(type_='v5p-256', *words, **options):
  asked = order_of(type_, **options)
  order.check(asked)
  return manifest.make(asked, job_of(*words), forecast.Forecast('by hand'))


ALL = {
  **{'slices': 2, 'queue': 'tpus', 'priority': 'high', 'spot': True},
  **{'service_account': 'trainer', 'secrets': ('wandb',), 'grace_sec': 700},
  **{'environment': {'A': '1'}, 'host_network': True, 'max_restarts': 5},
}


def pod_of(found):
  (each,) = found['spec']['replicatedJobs']
  return each['template']['spec']['template']['spec']


@pytest.mark.parametrize('options', [{}, ALL, {'reservation': 'mine'}])
@pytest.mark.parametrize('type_', ['v5p-256', 'v5litepod-8', 'tpu7x-128'])
def test_jobset_takes_it(type_, options):
  found = made(type_, **options)
  assert errors(found) == []
  assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
  ('change', 'path'),
  [
    (
      lambda x: x['spec'].update(failurePolice={}),
      r'\$\.spec: .*failurePolice',
    ),
    (
      lambda x: x['spec']['failurePolicy']['rules'][0].update(action='Restart'),
      r'rules\[0\]\.action',
    ),
    (lambda x: x['spec']['failurePolicy']['rules'][0].pop('name'), "'name' is"),
    (lambda x: pod_of(x).update(graceSeconds=1), 'graceSeconds'),
    (lambda x: pod_of(x)['containers'][0].update(command='sh'), r'\.command'),
  ],
)
def test_the_schema_is_one_that_tells(change, path):
  found = made()
  change(found)
  (said,) = errors(found)
  assert re.search(path, said)


def test_kubernetes_own_types_know_every_field():
  api = pytest.importorskip(
    'kubeflow_trainer_api.models', reason='kubeflow_trainer_api, of group dev'
  )
  found = made(**ALL)
  model = api.JobsetV1alpha2JobSet.from_dict(copy.deepcopy(found))
  assert model.to_dict() == found
  wrong = copy.deepcopy(found)
  pod_of(wrong)['graceSeconds'] = 1
  assert api.JobsetV1alpha2JobSet.from_dict(wrong).to_dict() != wrong


def test_a_pod_for_each_machine_of_each_slice():
  found = made(slices=2)
  (each,) = found['spec']['replicatedJobs']
  assert each['replicas'] == 2
  spec = each['template']['spec']
  assert spec['parallelism'] == spec['completions'] == 32
  assert (spec['backoffLimit'], pod_of(found)['restartPolicy']) == (0, 'Never')
  assert pod_of(found)['nodeSelector'] == {
    'cloud.google.com/gke-tpu-accelerator': 'tpu-v5p-slice',
    'cloud.google.com/gke-tpu-topology': '4x4x8',
  }
  (container,) = pod_of(found)['containers']
  assert container['resources']['limits'] == {'google.com/tpu': 4}
  assert found['metadata']['annotations'][
    'alpha.jobset.sigs.k8s.io/exclusive-topology'
  ]
  single = made('v5litepod-4')
  assert 'alpha' not in ''.join(single['metadata']['annotations'])


def test_what_is_asked_for_is_there():
  found = made(**ALL)
  pod = pod_of(found)
  labels = found['metadata']['labels']
  assert labels['kueue.x-k8s.io/queue-name'] == 'tpus'
  assert pod['priorityClassName'] == 'high'
  assert pod['nodeSelector']['cloud.google.com/gke-spot'] == 'true'
  assert 'cloud.google.com/gke-spot' in [x['key'] for x in pod['tolerations']]
  assert pod['serviceAccountName'] == 'trainer'
  assert pod['terminationGracePeriodSeconds'] == 700
  assert (pod['hostNetwork'], pod['dnsPolicy']) == (
    *(True, 'ClusterFirstWithHostNet'),
  )
  (container,) = pod['containers']
  assert container['envFrom'] == [{'secretRef': {'name': 'wandb'}}]
  assert {'name': 'A', 'value': '1'} in container['env']
  assert found['spec']['failurePolicy']['maxRestarts'] == 5
  reserved = pod_of(made(reservation='mine'))['nodeSelector']
  assert reserved['cloud.google.com/reservation-name'] == 'mine'
  # Kueue would queue pods with its label one by one.
  (each,) = found['spec']['replicatedJobs']
  template = each['template']['spec']['template']
  assert 'kueue.x-k8s.io/queue-name' not in template['metadata']['labels']
  shared = pod['containers'][0]['volumeMounts'][0]
  (volume,) = pod['volumes']
  assert shared == {'name': volume['name'], 'mountPath': '/dev/shm'}
  assert volume['emptyDir'] == {'medium': 'Memory'}


def test_the_command_is_run_word_by_word_as_the_attempt_it_is():
  """As Kubernetes would run it: `$$` is its `$`, $(NAME) a variable."""
  words = ('--config.note=$(HOME) "a b" $HOME', '--config.other=$$')
  (container,) = pod_of(made('v5p-8', *words))['containers']
  command = [each.replace('$$', '$') for each in container['command']]
  assert command[-4:] == [
    *('train', *words, '--workdir=gs://bucket/run'),
  ]
  command[command.index('python') :] = ['env']
  done = subprocess.run(
    command, env={'RESTARTS': '2'}, capture_output=True, text=True, check=True
  )
  assert 'SCALE4D_ATTEMPT=3' in done.stdout.splitlines()
  (restarts,) = [
    each for each in container['env'] if each['name'] == 'RESTARTS'
  ]
  assert restarts['valueFrom']['fieldRef']['fieldPath'] == (
    "metadata.labels['jobset.sigs.k8s.io/restart-attempt']"
  )


def decided(found, code, is_taken):
  """What Job's and JobSet's controllers do, by their documents (KEP 262)."""
  (each,) = found['spec']['replicatedJobs']
  spec = each['template']['spec']
  reason, message = 'BackoffLimitExceeded', 'Job has reached the backoff limit'
  for index, rule in enumerate(spec['podFailurePolicy']['rules']):
    codes = rule.get('onExitCodes')
    if codes and code in codes['values']:
      assert codes['operator'] == 'In'
      what = (
        f'Container job for pod default/demo-x failed with exit code {code}'
      )
    elif is_taken and 'onPodConditions' in rule:
      what = 'Pod default/demo-x has condition DisruptionTarget'
    else:
      continue
    reason = 'PodFailurePolicy'
    message = f'{what} matching {rule["action"]} rule at index {index}'
    break
  for rule in found['spec']['failurePolicy']['rules']:
    patterns = rule['onJobFailureMessagePatterns']
    if reason in rule['onJobFailureReasons'] and any(
      re.fullmatch(pattern, message) for pattern in patterns
    ):
      return rule['action']
  return 'RestartJobSet'


def test_each_exit_code_is_taken_as_the_policy_takes_it():
  found = made()
  for code in range(1, 256):
    verdict = policy.verdict([(0, code)], restarts=0, max_restarts=1)
    action = 'FailJobSet'
    if verdict.again:
      action = (
        'RestartJobSet'
        if verdict.counts
        else 'RestartJobSetAndIgnoreMaxRestarts'
      )
    assert decided(found, code, is_taken=False) == action, code
  for code in (75, 134, 137, 143):
    taken = decided(found, code, is_taken=True)
    assert taken == 'RestartJobSetAndIgnoreMaxRestarts', code
  assert decided(found, 1, is_taken=True) == 'FailJobSet'


def test_what_differs_has_another_hash_but_the_forecast():
  asked, given = order_of(), job_of()
  hashes = {
    manifest.make(*each)['metadata']['annotations'][manifest.HASH]
    for each in (
      (asked, given, forecast.Forecast('a')),
      (asked, given, forecast.Forecast('b')),
      (asked, job_of('--config=x'), forecast.Forecast('a')),
      (order_of(grace_sec=9), given, forecast.Forecast('a')),
    )
  }
  assert len(hashes) == 3


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'name': 'Demo'}, 'expected small letters'),
    ({'name': '4d'}, 'a letter first'),
    ({'name': 'demo-'}, 'no - at the end'),
    (
      {'name': 'x' * 47},
      r'called x+-slice-0-31-abcde, 64 letters of 63; take a name of 46',
    ),
    ({'name': 'x' * 46, 'slices': 11}, 'take a name of 45 at most'),
    ({'image': ''}, 'expected one that holds this checkout'),
    ({'image': 'a b'}, 'expected one that holds this checkout'),
    ({'spot': True, 'reservation': 'r'}, 'at most one of'),
    ({'queue': 'A_queue'}, '--queue=A_queue: expected small'),
    ({'type_': 'v5p-8', 'slices': 2}, 'GKE joins slices of several hosts only'),
  ],
)
def test_what_the_cluster_would_refuse_is_refused_here(options, message):
  with pytest.raises(ValueError, match=message):
    order.check(order_of(**options))


def test_the_longest_name_is_taken():
  order.check(order_of(name='x' * 46))


def test_an_image_that_may_change_is_told():
  assert order.moves('docker.pkg.dev:443/p/scale4d')
  assert order.moves('scale4d:latest')
  assert not order.moves('docker.pkg.dev:443/p/scale4d:7')
  assert not order.moves('scale4d@sha256:0123')
