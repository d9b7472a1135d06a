"""Runs as JobSets, on a stand-in of a cluster that the real kubectl asks."""

import pytest

from base import exits
from launch.gke import failures, manifest
from launch.sweep import stages
from launch.sweep.backends import gke
from launch.sweep.runs import Item
from tests.launch.gke.conftest import cluster, home  # noqa: F401 (fixtures)

FLAGS = ['--image=scale4d:7', '--plan=none', '--namespace=ours']
RECIPE = 'configs/mae.py:size=S,topology=v5e:2x4'
AT = '2026-01-01T00:00:00Z'


@pytest.fixture
def made():
  """A backend, a run's training and its readout."""
  workdir = 'gs://bucket/Ladder'
  backend = gke.Gke(FLAGS, workdir=workdir, max_restarts=2)
  both = stages.of(
    f'{workdir}/run',
    Item(RECIPE, {}, '', '--queue=tpus'),
    config={'steps': 3},
    more=[],
    readouts={'configs/readout.py:task=depth,data=world': {'steps': 1}},
    workdir=workdir,
    cache='',
  )
  return backend, *both


def test_a_jobset_for_each_stage(made):
  backend, train, readout = made
  words = list(backend.words(train, name='size-S'))
  at = words.index('--')
  assert words[at + 1 :] == list(train.words)
  assert {
    *('--max_restarts=2', '--topology=v5e:2x4', '--queue=tpus', *FLAGS)
  } <= set(words[4:at])
  name = words[4]
  assert name != backend.words(readout, name='size-S')[4]
  assert name != backend.words(train, name='size-B')[4]


def test_what_the_launcher_refuses_is_told_before_anything_starts(made):
  backend, train, _ = made
  backend.check(train, name='size-S')
  backend = gke.Gke(['--plan=none'], workdir='gs://b/x', max_restarts=2)
  with pytest.raises(ValueError, match=r'^--image=.*: expected one that holds'):
    backend.check(train, name='size-S')


def test_a_job_is_found_again_and_its_end_is_told(cluster, made):  # noqa: F811
  backend, train, _ = made
  assert backend.find(train, name='r', job={}, attempt=1) == {}
  cluster.put('localqueues', {'metadata': {'name': 'tpus'}})
  job = backend.start(train, name='r', attempt=1)
  assert backend.find(train, name='r', job={}, attempt=1) == job
  assert backend.poll(job) is None

  there = cluster.objects['jobsets', job['jobset']]
  cluster.put(
    'pods',
    {
      'metadata': {
        'name': 'p',
        'creationTimestamp': AT,
        'labels': {
          f'{manifest.GROUP}/jobset-name': job['jobset'],
          f'{manifest.GROUP}/job-index': '0',
          'batch.kubernetes.io/job-completion-index': '0',
        },
      },
      'spec': {'containers': [{'name': failures.CONTAINER}]},
      'status': {
        'phase': 'Failed',
        'containerStatuses': [
          {
            'name': failures.CONTAINER,
            'state': {'terminated': {'exitCode': 1, 'finishedAt': AT}},
          }
        ],
      },
    },
  )
  cluster.logs['p'] = 'data=x: there is none\n'
  there['status'] = {
    'conditions': [{'type': 'Failed', 'status': 'True', 'message': 'm'}]
  }
  end = backend.poll(job)
  assert (end.code, end.said) == (1, 'data=x: there is none')
  # One that failed is no job to find, unless the sweep has not seen its end.
  assert backend.find(train, name='r', job={}, attempt=1) == {}
  assert backend.find(train, name='r', job=job, attempt=1) == job

  cluster.refuse = {'GET .*': (401, 'Unauthorized')}
  with pytest.raises(ValueError, match='no longer good: `gcloud auth login`'):
    backend.poll(job)
  cluster.refuse = {}
  assert 'was removed' in backend.end(train, name='r')
  assert backend.poll(job).code == exits.AGAIN
