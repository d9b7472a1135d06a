"""What the real gcloud sends for a queued resource, and what it says to it."""

import json

import pytest

from launch import machines as machines_lib
from launch.drill.cloud.cloud import PROJECT, ZONE
from launch.tpu import gcloud, rent
from launch.tpu.machine import Order, Phase
from launch.tpu.queued import QueuedResource, Reach
from launch.tpu.refusals import Refused


def order(name='q', type_='v5p-16', slices=2, tier='spot', wait_sec=3600):
  return Order(name, machines_lib.parse(type_), slices, tier, wait_sec)


def machines(found=None, **changes):
  reach = {'project': PROJECT, 'zone': ZONE, **changes}
  return QueuedResource(found or order(), Reach(**reach))


@pytest.mark.slow
def test_slices_are_asked_for_and_come_and_go(cloud):
  these = machines(create_flags=('--network=mine',))
  assert these.state().phase is Phase.ABSENT
  cloud.api.stays = 'WAITING_FOR_RESOURCES'
  these.create()
  ((_, url, body),) = [each for each in cloud.api.requests if each[0] == 'POST']
  assert url.endswith('queuedResourceId=q')
  assert f'/projects/{PROJECT}/locations/{ZONE}/' in url
  (spec,) = body['tpu']['nodeSpec']
  assert spec['multisliceParams'] == {'nodeCount': 2, 'nodeIdPrefix': 'q'}
  assert spec['node']['acceleratorType'] == 'v5p-16'
  assert spec['node']['runtimeVersion'] == 'v2-alpha-tpuv5'
  assert spec['node']['networkConfig']['network'] == 'mine'
  assert 'spot' in body
  assert body['queueingPolicy'] == {'validUntilDuration': '3600s'}
  while (seen := these.state()).word != 'WAITING_FOR_RESOURCES':
    assert seen.phase is Phase.WAITING
  assert 'WAITING_FOR_RESOURCES: no free chips yet' in str(seen)
  cloud.api.stays = ''
  these.state()
  seen = [these.state() for _ in range(2)]
  assert [each.phase for each in seen] == [Phase.MAKING, Phase.READY]
  hosts = seen[-1].hosts
  places = [(each.process, each.slice, each.worker) for each in hosts]
  assert places == [(0, 0, 0), (1, 0, 1), (2, 1, 0), (3, 1, 1)]
  assert {each.address for each in hosts} == {*cloud.hosts.homes}

  cloud.api.missing = {('q-1', 1)}
  partial = these.state()
  assert partial.phase is Phase.MAKING
  assert 'node q-1 shows 1 of its 2 hosts' in str(partial)
  cloud.api.missing = set()
  cloud.api.node_states['q-0'] = 'PREEMPTED'
  assert these.state().phase is Phase.LOST

  these.delete()
  assert 'force=True' in cloud.api.requests[-1][1]
  assert these.state().phase is Phase.LEAVING
  assert these.state().phase is Phase.ABSENT


def test_what_has_the_name_already_is_not_taken_for_it(cloud):
  machines(order(type_='v5p-8', slices=1)).create()
  with pytest.raises(ValueError, match=r'is there already, and is 1 x v5p-8, '):
    machines().state()


QUOTA = (
  "Quota limit 'TPUV5sPodPerProjectPerZoneForTPUAPI' has been exceeded. "
  'Limit: 32 in zone us-east5-a.'
)


@pytest.mark.parametrize(
  ('status', 'message', 'kind', 'remedy'),
  [
    (429, QUOTA, 'quota', 'ask for quota'),
    (403, QUOTA, 'quota', 'ask for quota'),
    (
      429,
      'There is no more capacity in the zone "us-east5-a"; you can try in '
      'another zone',
      'capacity',
      'wait longer .*another --zone',
    ),
    (403, "Permission 'tpu.nodes.create' denied", 'permission', 'roles/tpu'),
  ],
)
def test_what_cannot_be_had(cloud, status, message, kind, remedy):
  cloud.api.refusals = [(status, message)]
  with pytest.raises(Refused, match=remedy) as caught:
    machines().create()
  said = str(caught.value)
  assert caught.value.kind == kind
  assert said.startswith('renting 2 x v5p-16')
  assert message[:40] in said
  assert '\n' not in said


def test_chips_that_do_not_come_in_time(cloud):
  cloud.api.fails = 'no more capacity in the zone'
  with pytest.raises(ValueError, match=r'FAILED: no more cap.*--spot or an'):
    rent.up(machines(), order(), 0.1)
  # What failed would keep its name, and quota.
  assert not cloud.api.resources


def test_waiting_has_an_end(cloud):
  cloud.api.stays = 'WAITING_FOR_RESOURCES'
  late = order(wait_sec=1)
  message = r'is WAITING_FOR_RESOURCES: .* of waiting .*stop --name=q` gives it'
  with pytest.raises(ValueError, match=message):
    rent.up(machines(late), late, 0.1)
  assert cloud.api.resources


def test_a_zone_that_there_is_not(cloud):
  with pytest.raises(Refused, match='there is no such --zone') as caught:
    machines(zone='us-east9-z').create()
  assert caught.value.kind == 'zone'


def test_credentials_that_have_expired(cloud, tmp_path, monkeypatch):
  account = tmp_path / 'account.json'
  account.write_text(
    json.dumps(
      {
        'type': 'authorized_user',
        'client_id': 'x',
        'client_secret': 'x',
        'refresh_token': 'x',
        'token_uri': f'http://127.0.0.1:{cloud.api.port}/token',
      }
    )
  )
  monkeypatch.delenv('CLOUDSDK_AUTH_DISABLE_CREDENTIALS')
  monkeypatch.setenv('CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE', str(account))
  monkeypatch.setenv(
    'CLOUDSDK_AUTH_TOKEN_HOST', f'http://127.0.0.1:{cloud.api.port}/token'
  )
  with pytest.raises(Refused, match='gcloud auth login') as caught:
    machines().state()
  assert caught.value.kind == 'credentials'


def test_nobody_is_logged_in(cloud, monkeypatch):
  monkeypatch.delenv('CLOUDSDK_AUTH_DISABLE_CREDENTIALS')
  with pytest.raises(Refused, match='gcloud auth login') as caught:
    machines().state()
  assert caught.value.kind == 'credentials'


# Of gcloud 528, after its retries.
UNREACHED = """
ERROR: gcloud crashed (ConnectionError): HTTPConnectionPool(host='127.0.0.1', \
port=9): Max retries exceeded with url: /v2/projects/p (Caused by \
NewConnectionError('<urllib3.connection.HTTPConnection object at 0x7f>: Failed \
to establish a new connection: [Errno 111] Connection refused'))

If you would like to report this issue, please run the following command:
  gcloud feedback
"""


def test_a_service_that_does_not_answer_may_later(monkeypatch):
  monkeypatch.setattr(gcloud, 'call', lambda _: gcloud.Done(1, '', UNREACHED))
  with pytest.raises(Refused, match='did not answer: try again') as caught:
    machines().state()
  assert caught.value.kind == 'passing'


@pytest.mark.slow  # half a minute, in which gcloud tries again
def test_a_service_that_does_not_answer(cloud, monkeypatch):
  monkeypatch.setenv(
    'CLOUDSDK_API_ENDPOINT_OVERRIDES_TPU', 'http://127.0.0.1:9/'
  )
  with pytest.raises(Refused) as caught:
    machines().state()
  assert caught.value.kind == 'passing'


@pytest.mark.parametrize(
  ('name', 'type_', 'slices', 'message'),
  [
    ('q' * 64, 'v5p-16', 1, 'has 64 letters, expected at most 63'),
    ('q' * 62, 'v5p-16', 2, 'has 62 letters, expected at most 61: its nodes'),
    ('Q', 'v5p-16', 1, 'expected lower-case letters'),
    ('1q', 'v5p-16', 1, 'a letter first'),
    ('q-', 'v5p-16', 1, 'no hyphen last'),
    ('q', 'tpu7x-16', 1, 'is not in the Cloud TPU API.*launch.gke'),
    ('q', 'v5p:4x4x32', 1, 'has no name of its own .v5p-1024 is another'),
  ],
)
def test_what_the_service_does_not_have_is_refused_here(
  name, type_, slices, message
):
  with pytest.raises(ValueError, match=message):
    machines(order(name, type_, slices))


def test_a_shape_of_v4_by_its_shape():
  words = machines(order(type_='v4:4x4x24', slices=1)).create_words()
  assert {'--type=v4', '--topology=4x4x24', '--node-id=q'} <= {*words}
  assert not [each for each in words if each.startswith('--accelerator-type')]
