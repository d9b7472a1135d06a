"""The command, with the real kubectl, on a stand-in of a cluster."""

import json
import os
import pathlib

import pytest

from launch import forecast, job, machines
from launch.gke import failures, manifest, order, start, state
from launch.gke.kubectl import Kubectl, said
from tests import commands

NAME = '--name=demo'
START = [
  *('start', NAME, '--topology=v5p:2x2x2', '--slices=2', '--plan=none'),
  '--image=docker.pkg.dev/p/r/scale4d:7',
]
# Without a workdir, which `status` would look for in gs://.
JOB = ['--', 'python', '-m', 'data.bench', '--videos=a b']
RUN = ['--', 'python', '-m', 'train', '--config=configs/mae.py:size=H']


def command(*words):
  environment = dict(os.environ, PYTHONPATH=os.getcwd())
  return commands.run('launch.gke', *words, env=environment)


def given(**options):
  asked = order.Order(
    name='demo',
    slice=machines.parse('v5p:2x2x2'),
    slices=2,
    image='docker.pkg.dev/p/r/scale4d:7',
    **options,
  )
  planned = forecast.Forecast('by hand', 'v5p:2x2x2', 16, 0.5, 0.4, 10.0)
  words = job.parse(JOB[1:], one_disk=False)
  return asked, manifest.make(asked, words, planned)


KUBECTL = Kubectl('default')


def looked(cluster):
  found = state.jobset(KUBECTL, 'demo')
  now = state.look(KUBECTL, found)
  return now, f'{now}'


def pod(cluster, slice_, index, phase='Running', age=1, **container):
  """A pod of it, as Kubernetes tells of one."""
  kind = next(iter(container), '')
  statuses = [{'name': failures.CONTAINER, 'state': container}] if kind else []
  name = f'demo-slice-{slice_}-{index}-{"abcdefgh"[age]}'
  cluster.put(
    'pods',
    {
      'metadata': {
        'name': name,
        'creationTimestamp': f'2026-01-01T00:00:0{age}Z',
        'labels': {
          f'{manifest.GROUP}/jobset-name': 'demo',
          f'{manifest.GROUP}/job-index': f'{slice_}',
          'batch.kubernetes.io/job-completion-index': f'{index}',
        },
      },
      'spec': {'containers': [{'name': failures.CONTAINER}, {'name': 'side'}]},
      'status': {'phase': phase, 'containerStatuses': statuses},
    },
  )
  return name


def condition(kind, value='True', message='', reason='Because'):
  return {
    **{'type': kind, 'status': value, 'message': message, 'reason': reason}
  }


def test_from_start_to_stop(cluster):
  done = command(*START, *JOB)
  assert not done.returncode, done.stderr
  assert 'no forecast: skipped by --plan=none' in done.stdout
  assert 'demo was created: 2 x v5p:2x2x2, 4 hosts' in done.stdout
  sent = cluster.objects['jobsets', 'demo']
  assert sent['spec']['replicatedJobs'][0]['replicas'] == 2
  assert 'POST /apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets' in (
    cluster.asked
  )

  name = pod(cluster, 1, 1, running={})
  cluster.logs[name] = 'step 5\n'
  shown = command('status', NAME).stdout.splitlines()
  assert shown[0] == (
    'demo: starting; 1 of 4 hosts run; start 1, 0 of --max_restarts=3 counted'
  )
  assert shown[1] == "job: python -m data.bench '--videos=a b'"
  assert 'hosts 3 (1): running' in shown
  assert command('logs', NAME, '--host=3', '--tail=9').stdout == 'step 5\n'
  late = command('logs', NAME, '--host=2')
  assert (late.returncode, late.stdout) == (1, '')
  assert late.stderr.startswith('--host=2 has no log yet: demo is starting')

  assert 'demo was removed' in command('stop', NAME).stdout
  assert ('jobsets', 'demo') not in cluster.objects
  gone = command('stop', NAME)
  assert gone.returncode == 1
  assert gone.stderr.startswith('there is no --name=demo in namespace default')


def test_a_second_start_finds_the_first(cluster):
  asked, wanted = given()
  assert 'was created' in start.start(KUBECTL, asked, wanted)
  assert 'is there already: starting' in start.start(KUBECTL, asked, wanted)
  other, changed = given(grace_sec=9)
  with pytest.raises(ValueError, match='with another image, other machines or'):
    start.start(KUBECTL, other, changed)
  _, foreign = given()
  foreign['metadata']['annotations'][manifest.JOB] = 'python -m train --other'
  with pytest.raises(
    ValueError, match=r'another job \(starting\): python -m data'
  ):
    start.start(KUBECTL, asked, foreign)

  there = cluster.objects['jobsets', 'demo']
  there['status'] = {'conditions': [condition('Failed', message='gone')]}
  text = start.start(KUBECTL, other, changed)
  assert 'in place of the one that failed (gone)' in text
  assert 'status' not in cluster.objects['jobsets', 'demo']

  there = cluster.objects['jobsets', 'demo']
  there['status'] = {'conditions': [condition('Completed')]}
  assert 'demo is done' in start.start(KUBECTL, asked, wanted)
  assert cluster.objects['jobsets', 'demo'] is there


def test_what_kueue_says_is_said(cluster):
  cluster.put('localqueues', {'metadata': {'name': 'tpus'}})
  asked, wanted = given(queue='tpu')
  with pytest.raises(ValueError, match=r'no LocalQueue .* one of tpus'):
    start.start(KUBECTL, asked, wanted)
  asked, wanted = given(queue='tpus')
  start.start(KUBECTL, asked, wanted)
  there = cluster.objects['jobsets', 'demo']
  there['spec']['suspend'] = True
  assert 'Kueue has not looked at yet' in looked(cluster)[1]
  lacks = (
    "couldn't assign flavors to pod set slice: insufficient unused quota for "
    'google.com/tpu in flavor v5p, 8 more needed'
  )
  cluster.put(
    'workloads',
    {
      'metadata': {'name': 'other', 'ownerReferences': [{'uid': 'uid-0'}]},
      'status': {'conditions': [condition('QuotaReserved', 'False', 'no')]},
    },
  )
  cluster.put(
    'workloads',
    {
      'metadata': {
        'name': 'jobset-demo',
        'ownerReferences': [{'uid': 'uid-1'}],
      },
      'status': {
        'conditions': [
          condition('QuotaReserved', 'False', lacks),
          condition('Evicted', message='Preempted to accommodate a workload'),
        ]
      },
    },
  )
  now, text = looked(cluster)
  assert now.phase is state.Phase.QUEUED
  assert text.startswith(
    'waits in a queue: queue tpus, taken off its machines: Preempted to '
    f'accommodate a workload, {lacks}; 0 of 4 hosts run'
  )
  assert now.code == -1


def test_where_pods_stand(cluster):
  start.start(KUBECTL, *given())
  for number in range(3):
    pod(cluster, number // 2, number % 2, running={})
  pod(cluster, 1, 1, phase='Pending', age=1)
  waits = cluster.objects['pods', 'demo-slice-1-1-b']
  lacks = '0/12 nodes are available: 12 Insufficient google.com/tpu'
  waits['status']['conditions'] = [
    condition('PodScheduled', 'False', lacks, 'Unschedulable')
  ]
  now, text = looked(cluster)
  assert now.phase is state.Phase.WAITING
  assert f'host 3: Unschedulable: {lacks}; 3 of 4 hosts run' in text

  pulls = {'reason': 'ImagePullBackOff', 'message': 'Back-off pulling "x"'}
  pod(cluster, 1, 1, phase='Pending', age=2, waiting=pulls)
  now, text = looked(cluster)
  assert now.phase is state.Phase.STUCK
  assert (
    'ImagePullBackOff, does the image exist, and may the nodes read' in text
  )
  assert 'launch.gke stop --name=demo' in state.text(
    state.jobset(KUBECTL, 'demo'), now
  )

  pod(cluster, 1, 1, age=3, running={})
  now, text = looked(cluster)
  assert now.phase is state.Phase.RUNNING
  assert '4 of 4 hosts run' in text


def test_the_end_is_told_by_the_process_that_caused_it(cluster):
  start.start(KUBECTL, *given())
  codes = {
    (0, 0): (134, 9),
    (0, 1): (134, 8),
    (1, 0): (137, 7),
    (1, 1): (134, 8),
  }
  for (slice_, index), (code, second) in codes.items():
    ended = {'exitCode': code, 'finishedAt': f'2026-01-01T00:00:0{second}Z'}
    pod(cluster, slice_, index, phase='Failed', terminated=ended)
  there = cluster.objects['jobsets', 'demo']
  failed = condition('Failed', message='jobset failed due to reaching max')
  there['status'] = {
    **{'conditions': [failed], 'restarts': 5, 'restartsCountTowardsMax': 3}
  }
  now, text = looked(cluster)
  assert (now.phase, now.code, now.attempt) == (state.Phase.FAILED, 137, 6)
  assert 'process 2 ended with 137 (SIGKILL); 3 of --max_restarts=3' in text
  assert 'jobset failed due to reaching max' in text
  lines = state.text(state.jobset(KUBECTL, 'demo'), now).splitlines()
  assert 'hosts 0, 1, 3 (3): ended with 134 (SIGABRT)' in lines

  there['status']['conditions'] = [condition('Completed')]
  now, text = looked(cluster)
  assert (now.phase, now.code) == (state.Phase.DONE, 0)


def test_a_pod_that_went_with_its_machine_told_nothing(cluster):
  start.start(KUBECTL, *given())
  pod(cluster, 0, 0, phase='Failed')
  now, _ = looked(cluster)
  assert now.hosts[0].kind == 'ended with 134 (SIGABRT)'


def test_measured_is_shown_beside_predicted(cluster, tmp_path):
  """Of a folder here, in place of gs://."""
  asked, wanted = given()
  pod_ = wanted['spec']['replicatedJobs'][0]['template']['spec']['template']
  pod_['spec']['containers'][0]['command'][-1] = f'--workdir={tmp_path}'
  start.start(KUBECTL, asked, wanted)
  found = state.jobset(KUBECTL, 'demo')
  now = state.look(KUBECTL, found)
  assert 'no step measured yet, 500 ms predicted' in state.text(found, now)
  lines = [{'step': 10, 'time/step_sec': 1.0}, {'step': 20}]
  text = ''.join(f'{json.dumps(line)}\n' for line in lines)
  pathlib.Path(tmp_path, 'metrics.jsonl').write_text(text)
  assert 'step 20: step 1.00 s measured, 500 ms predicted, 2.00 times' in (
    state.text(found, now)
  )


def test_a_dry_run_asks_nobody(home):
  done = command(*START, '--queue=tpus', '--dry_run', *JOB)
  assert not done.returncode, done.stderr
  _, line, text = done.stdout.split('\n', 2)
  assert line == 'kubectl --namespace=default create --filename=-'
  assert json.loads(text)['metadata']['name'] == 'demo'


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    ([*START, *RUN], 'has no --workdir=: a run that is started again'),
    ([*START, *RUN, '--workdir=/disk'], 'is a folder of one machine'),
    ([*START, '--type=v5p-8', *JOB], 'expected one of --type=v5p-256 and'),
    ([*START, '--env=A', *JOB], '--env=A: expected NAME=VALUE'),
    ([*START, '--env=A B=1', *JOB], "'A B' is no name of a variable"),
    (['strat', NAME], "unknown command of launch.gke 'strat'"),
    (['status', NAME, 'now'], '`launch.gke status` takes flags only'),
    (START, 'no command was given'),
    ([*START, *JOB[1:]], 'put -- before the command'),
    ([*START, '--via=xpk', *JOB], '--via=xpk needs --cluster'),
  ],
)
def test_wrong_words_end_in_one_line(home, words, message):
  done = command(*words)
  assert done.returncode in (1, 2)
  (line,) = done.stderr.splitlines()
  assert message in line


def test_a_grace_shorter_than_a_step_is_refused(home):
  words = [word for word in START if word != '--plan=none']
  large = ['--config.data.batch_size=16384', '--config.step.accumulate=16']
  job_ = [*RUN, *large, '--config.mesh.replica=2', '--workdir=gs://b/run']
  done = command(*words, '--plan=shapes', '--grace=1', *job_)
  assert done.returncode == 1
  assert '--grace=1 is shorter than a step of' in done.stderr


def test_no_credentials_and_no_cluster(home):
  with pytest.raises(ValueError, match=r'no cluster is known here: .*get-cred'):
    KUBECTL.find('jobsets.jobset.x-k8s.io', 'demo')
  with pytest.raises(ValueError, match='no such --context'):
    Kubectl('default', 'nowhere').list('pods')


def test_kubectl_is_not_there(monkeypatch, tmp_path):
  monkeypatch.setenv('PATH', str(tmp_path))
  with pytest.raises(ValueError, match='kubectl is not on PATH: `gcloud comp'):
    KUBECTL.list('pods')


def test_a_cluster_that_is_gone(cluster):
  cluster.shutdown()
  cluster.server_close()
  with pytest.raises(ValueError, match='cannot be reached from here'):
    KUBECTL.list('pods')


def test_what_a_cluster_lacks_is_said_with_what_to_do(cluster):
  asked, wanted = given(queue='tpus')
  cluster.put('localqueues', {'metadata': {'name': 'tpus'}})
  post = r'POST .*/jobsets'
  for refusal, message in (
    ((401, 'Unauthorized'), 'no longer good: `gcloud auth login`'),
    ((403, 'jobsets is forbidden: User "me" cannot'), 'Kubernetes Engine Dev'),
    ((404, 'namespaces "x" not found'), 'there is no such --namespace'),
    (
      (403, 'forbidden: exceeded quota: tpus'),
      'ResourceQuota of the namespace',
    ),
    (
      (422, 'admission webhook "vjobset.kb.io" denied the request: too long'),
      'does not take this JobSet: --dry_run prints it .*too long',
    ),
  ):
    cluster.refuse = {post: refusal}
    with pytest.raises(ValueError, match=message) as refused:
      start.start(KUBECTL, asked, wanted)
    assert '\n' not in str(refused.value)
  cluster.refuse = {}
  del cluster.kinds['kueue.x-k8s.io/v1beta2']
  with pytest.raises(ValueError, match='has no Kueue: leave out --queue'):
    start.start(KUBECTL, asked, wanted)
  del cluster.kinds['jobset.x-k8s.io/v1alpha2']
  with pytest.raises(
    ValueError, match='has no JobSet: `kubectl apply --server'
  ):
    start.start(KUBECTL, asked, wanted)


@pytest.mark.parametrize(
  ('stderr', 'message'),
  [
    (
      'Unable to connect to the server: getting credentials: exec: executable '
      'gke-gcloud-auth-plugin not found\n',
      'the plugin for credentials is missing: `gcloud components install',
    ),
    (
      'E1129 19:38:03.605863 1 memcache.go:265] x\nsomething new\n',
      'kubectl get failed: something new',
    ),
    ('', 'kubectl get failed: it said nothing'),
  ],
)
def test_what_kubectl_says_is_one_line(stderr, message):
  found = said(['get'], stderr)
  assert found.startswith(message)
  assert 'memcache' not in found
