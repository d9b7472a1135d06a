"""Google's own tools are given the same job, and what xpk makes of it."""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys

import pytest

from base import exits
from launch import forecast, job, machines, policy
from launch.gke import manifest, order, others
from tests import commands
from tests.launch.gke import schema

JOB = job.parse(
  ['python', '-m', 'train', '--config.a=x y', '--workdir=gs://bucket/run'],
  one_disk=False,
)
WHERE = {'cluster': 'c', 'project': 'p', 'zone': 'us-east5-a'}


def order_of(**options):
  options = {'type_': 'v5p-256', 'slices': 2, 'grace_sec': 300} | options
  slice_ = machines.parse(options.pop('type_'))
  return order.Order(name='demo', slice=slice_, image='scale4d:7', **options)


def test_xpk_is_told_all_there_is():
  asked = order_of(priority='high', spot=True)
  words = others.words('xpk', asked, JOB, **WHERE)
  assert words[:3] == ['xpk', 'workload', 'create']
  assert '--tpu-type=v5p-4x4x8' in words
  assert '--num-slices=2' in words
  assert (
    "--command=python -m train '--config.a=x y' --workdir=gs://bucket/run"
    in (words)
  )
  assert '--restart-on-exit-codes=70,75,124' in words
  assert {'--spot', '--priority=high', '--max-restarts=3'} <= set(words)


def test_gcluster_is_told_all_there_is():
  asked = order_of(queue='q', service_account='a', priority='high')
  words = others.words('gcluster', asked, JOB, **WHERE)
  assert words[:3] == ['gcluster', 'job', 'submit']
  assert {
    *('--compute-type=ct5p-hightpu-4t', '--topology=4x4x8', '--num-slices=2'),
    *('--queue=q', '--service-account=a', '--restart-on-exit-codes=75'),
    *('--location=us-east5-a', '--grace-period=300s', '--restarts=3'),
  } <= set(words)


@pytest.mark.parametrize(
  ('tool', 'options', 'where', 'message'),
  [
    ('xpk', {}, {'cluster': ''}, '--via=xpk needs --cluster'),
    ('xpk', {'secrets': ('a',)}, {}, '--via=xpk has no --secret: leave it out'),
    ('xpk', {'queue': 'mine'}, {}, '--via=xpk has no --queue'),
    ('gcluster', {'host_network': True}, {}, 'has no --host_network'),
    ('gcluster', {'spot': True}, {}, 'has no --spot'),
  ],
)
def test_what_a_tool_lacks_is_refused(tool, options, where, message):
  with pytest.raises(ValueError, match=message):
    others.words(tool, order_of(**options), JOB, **(WHERE | where))


def test_a_tool_that_is_not_there_is_named(monkeypatch, tmp_path):
  monkeypatch.setenv('PATH', str(tmp_path))
  with pytest.raises(ValueError, match='xpk is not on PATH: pip install xpk'):
    others.run(['xpk', 'workload'])


def test_the_command_is_printed_and_not_run(tmp_path):
  done = commands.run(
    *('launch.gke', 'start', '--name=demo'),
    *('--type=v5p-256', '--image=scale4d:7', '--via=xpk', '--plan=none'),
    *('--cluster=c', '--project=p', '--zone=us-east5-a', '--dry_run'),
    *('--', *JOB.command),
    env=dict(os.environ, PYTHONPATH=os.getcwd()),
  )
  last = done.stdout.splitlines()[-1]
  assert shlex.split(last) == others.words(
    'xpk', order_of(slices=1), JOB, **WHERE
  )


# Where xpk's JobSet differs from ours, and why.
WHY = {
  'metadata.labels': 'its queue is always multislice-queue; names its tool',
  'metadata.annotations': 'job, forecast and hash, that our status reads',
  'spec.ttlSecondsAfterFinished': 'it keeps what ended for 12 hours, we 7 days',
  'spec.failurePolicy.rules': 'it fails at once for other codes, and all count',
  'job.name': 'slice-job',
  'job.spec.completionMode': 'we write out the default',
  'job.spec.podFailurePolicy': 'it lists codes that are not started again',
  'job.metadata': 'names its tool',
  'pod.schedulerName': 'it writes out the default',
  'pod.imagePullSecrets': 'a secret called None',
  'pod.hostNetwork': 'only by --host_network: it bypasses Workload Identity',
  'pod.dnsPolicy': 'as hostNetwork',
  'pod.priorityClassName': 'it always has one',
  'pod.volumes': 'another name',
  'container.name': 'jax-tpu',
  'container.command': 'its script passes SIGTERM on; ours is the command',
  'container.env': 'the number of the attempt, and no buffering',
  'container.ports': 'for people: pods reach each other without',
  'container.volumeMounts': 'another name',
}


def xpk():
  """The command, in an environment of its own: its packages are older."""
  here = pathlib.Path(sys.prefix, 'xpk', 'bin', 'xpk')
  found = str(here) if here.exists() else shutil.which('xpk')
  if not found:
    pytest.skip('xpk is not installed: `make xpk`')
  return found


def without_nulls(value):
  if isinstance(value, dict):
    kept = {k: without_nulls(v) for k, v in value.items()}
    return {k: v for k, v in kept.items() if v not in (None, {}, [])}
  return [*map(without_nulls, value)] if isinstance(value, list) else value


def parts(jobset):
  """'pod.volumes' -> value, of all that a JobSet says."""
  jobset = without_nulls(jobset)
  spec = dict(jobset['spec'])
  (job_,) = spec.pop('replicatedJobs')
  job_ = dict(job_)
  child = dict(job_.pop('template')['spec'])
  template = child.pop('template')
  pod = dict(template['spec'])
  (container,) = pod.pop('containers')
  failure = spec.pop('failurePolicy')
  found = {
    'apiVersion': jobset['apiVersion'],
    'metadata': jobset['metadata'],
    'spec': spec,
    'spec.failurePolicy': failure,
    'job': job_,
    'job.spec': child,
    **{'pod': pod, 'container': container},
  }
  if 'metadata' in template:
    found['job'] |= {'metadata': template['metadata']}
  return {
    f'{at}.{key}' if isinstance(value, dict) else at: each
    for at, value in found.items()
    for key, each in (
      value.items() if isinstance(value, dict) else [(at, value)]
    )
  }


@pytest.fixture(scope='module')
def theirs(tmp_path_factory):
  """What xpk would send, from its own dry run."""
  yaml = pytest.importorskip('yaml')
  folder = tmp_path_factory.mktemp('xpk')
  file = folder / 'jobset.yaml'
  words = others.words('xpk', order_of(), JOB, **WHERE)[1:]
  dry = ['--dry-run', '--skip-validation', f'--output-manifest-file={file}']
  done = subprocess.run(
    [xpk(), *words, *dry],
    capture_output=True,
    text=True,
    env={
      **{'HOME': str(folder), 'PATH': os.environ['PATH']},
      'TELEMETRY_ENABLED': 'false',
    },
  )
  assert not done.returncode, done.stdout + done.stderr
  return yaml.safe_load(file.read_text())


def test_xpks_jobset_differs_from_ours_where_it_is_known_to(theirs):
  ours = manifest.make(order_of(), JOB, forecast.Forecast('by hand'))
  ours['metadata'].pop('namespace')
  one, other = parts(ours), parts(theirs)
  differ = {at for at in {*one, *other} if one.get(at) != other.get(at)}
  assert differ == WHY.keys()
  # What must be as there: machines, restarts, signals, shared memory.
  for at in (
    *('pod.nodeSelector', 'pod.restartPolicy', 'pod.tolerations'),
    *('pod.terminationGracePeriodSeconds', 'container.resources'),
    *('job.spec.backoffLimit', 'job.spec.completions', 'job.replicas'),
    'spec.failurePolicy.maxRestarts',
  ):
    assert one[at] == other[at]


def test_xpks_jobset_starts_again_by_nearly_the_same_codes(theirs):
  """All counted; and those of a program that is not ours not at all."""
  spec = theirs['spec']['replicatedJobs'][0]['template']['spec']
  (rule,) = spec['podFailurePolicy']['rules']
  assert rule['onExitCodes']['operator'] == 'NotIn'
  again = set(rule['onExitCodes']['values'])
  for code in (*range(1, 3), exits.FAULT, exits.AGAIN, *range(128, 256)):
    verdict = policy.verdict([(0, code)], restarts=0, max_restarts=1)
    assert verdict.again == (code in again), code


def test_the_schema_finds_what_is_known_of_xpk(theirs):
  """Its rule has no name, which JobSet's webhook adds."""
  (error,) = schema.errors(without_nulls(theirs))
  assert "'name' is a required property" in error
