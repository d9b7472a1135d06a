"""All hosts at once, by the real gcloud and ssh."""

import io
import tarfile

import pytest

from launch import machines as machines_lib
from launch.drill.cloud.cloud import PROJECT, ZONE
from launch.tpu import rent
from launch.tpu.code import Pack
from launch.tpu.fleet import Fleet
from launch.tpu.machine import Order
from launch.tpu.queued import QueuedResource, Reach

# As launch/tpu/host/__main__.py does, from what this checkout is replaced by.
HOST = """
import json, os, sys
found = {'address': os.environ['SSH_CONNECTION'].split()[2]}
found |= {'prepared': 'yes', 'unit': 'none', 'exit': 0, 'time': 0.0}
found |= {'joins': 'no'}
found |= {'last': ' '.join(sys.argv[1:])}
print('@scale4d ' + json.dumps(found))
"""


@pytest.fixture
def pack():
  data = io.BytesIO()
  with tarfile.open(fileobj=data, mode='w:gz') as archive:
    for name, text in (
      ('launch/tpu/host/__main__.py', HOST),
      ('launch/tpu/host/__init__.py', ''),
      ('launch/tpu/__init__.py', ''),
      ('launch/__init__.py', ''),
    ):
      info = tarfile.TarInfo(name)
      info.size = len(text)
      archive.addfile(info, io.BytesIO(text.encode()))
  return Pack(data.getvalue(), 'code-1', 'a test')


@pytest.mark.slow
def test_a_checkout_comes_to_all_hosts_and_a_lost_one_is_named(cloud, pack):
  order = Order('q', machines_lib.parse('v5p-16'), 2, 'spot', 600)
  reach = Reach(PROJECT, ZONE, ssh_port=cloud.hosts.port)
  machines = QueuedResource(order, reach)
  fleet = Fleet(machines, rent.up(machines, order, 0.1).hosts, 'q', 'code-1')
  assert fleet.ask('state') == {}
  assert 'host 3 (slice 1, worker 1, ' in fleet.missing({})

  fleet.copy(pack, [*fleet.hosts])
  for _ in range(2):  # gcloud repeats what broke
    replies = fleet.tell(fleet.unpack_command())
    assert {*replies} == {0, 1, 2, 3}
  homes = cloud.hosts.homes
  for host in fleet.hosts.values():
    folder = homes[host.address] / 'scale4d' / 'q'
    assert [each.name for each in folder.iterdir()] == ['code-1']
    assert not [*homes[host.address].glob('*.tar.gz')]
  replies = fleet.ask('start', 3, '--hosts=a,b')
  assert {each.last for each in replies.values()} == {
    'start --attempt=3 --hosts=a,b'
  }

  lost = fleet.hosts[2]
  cloud.hosts.lose(lost.address)
  replies = fleet.ask('state')
  assert {*replies} == {0, 1, 3}
  said = fleet.missing(replies)
  assert said.startswith(f'{lost} did not answer (')
  assert 'Connection refused' in said
