"""What the Cloud TPU API answers, on loopback: requests are real gcloud's.

A queued resource goes through its states as it is looked at, or as a drill
says. Reference: the REST pages of Cloud TPU v2.
"""

import dataclasses
import re
import threading
import urllib.parse
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from launch.drill.cloud import server

_COMING = ('ACCEPTED', 'WAITING_FOR_RESOURCES', 'PROVISIONING', 'ACTIVE')
_GONE = ('SUSPENDED', 'FAILED')


@dataclasses.dataclass
class Resource:
  """A queued resource.

  Attributes:
    body: that it was asked for with.
    nodes: names of its nodes.
    state: of it.
    detail: of that state, `failedData` and the like.
    looks: at it that it stays in a state on the way.
  """

  body: dict[str, Any]
  nodes: list[str]
  state: str = _COMING[0]
  detail: dict[str, Any] = dataclasses.field(default_factory=dict)
  looks: int = 1


class Api:
  """The server, in a thread of this process.

  Attributes:
    requests: (method, path, body) of all, in order.
    refusals: (status, message) to answer creations with, first one first.
    looks: times that a new resource is seen in each state on its way.
    stays: a state at which new resources stay; '': none.
    fails: message with which new resources fail; '': they do not.
    resources: by name.
    node_states: of nodes, where it is not READY.
    missing: nodes' hosts that are left out, (node, worker).
    expired: whether credentials are refused.
    words: states of all resources so far, the last one last.
  """

  def __init__(
    self,
    hosts: Callable[[str, int], Sequence[str]],
    hosts_of: Callable[[str], int],
    gone: Callable[[str], None],
    keys: str,
    zones: Sequence[str] = ('us-east5-a',),
  ):
    """Starts it.

    Args:
      hosts: makes so many hosts for a node's name, and gives their addresses.
      hosts_of: number of hosts of an accelerator type.
      gone: is told of a node that is deleted.
      keys: the project's ssh keys.
      zones: that there are.
    """
    self._hosts, self._hosts_of, self._gone = hosts, hosts_of, gone
    self._keys, self._zones = keys, zones
    self._lock = threading.RLock()
    self._addresses: dict[str, Sequence[str]] = {}
    self.requests: list[tuple[str, str, Any]] = []
    self.refusals: list[tuple[int, str]] = []
    self.looks, self.stays, self.fails = 1, '', ''
    self.resources: dict[str, Resource] = {}
    self.node_states: dict[str, str] = {}
    self.missing: set[tuple[str, int]] = set()
    self.expired = False
    self.words = ['not there']
    self._server = server.serve(self.answer)
    self.port = self._server.server_address[1]

  def close(self) -> None:
    """Answers nothing any more."""
    self._server.shutdown()
    self._server.server_close()

  def suspend(self, name: str, node: str = '') -> None:
    """Takes a resource away, as the preemption of a node does."""
    with self._lock:
      found = self.resources[name]
      self._turn(found, 'SUSPENDED')
      for each in [node] if node else found.nodes:
        self.node_states[each] = 'PREEMPTED'
        self._gone(each)

  def answer(self, method: str, url: str, body: Any) -> tuple[int, Any]:
    """Status and answer of a request."""
    with self._lock:
      self.requests.append((method, url, body))
      if url.startswith('/token'):  # of who had access once
        return 400, {
          'error': 'invalid_grant',
          'error_description': 'Token has been expired or revoked.',
        }
      if self.expired:
        return server.error(
          401, 'Request had invalid authentication credentials.'
        )
      split = urllib.parse.urlsplit(url)
      path = split.path
      query = dict(urllib.parse.parse_qsl(split.query))
      if path.startswith('/compute/v1/projects/'):
        items = [{'key': 'ssh-keys', 'value': self._keys}]
        return 200, {
          'name': path.rpartition('/')[2],
          'commonInstanceMetadata': {'items': items},
        }
      match = re.fullmatch(
        r'/v2/(projects/[^/]+/locations/([^/]+))/([^/]+)(?:/([^/:]+))?(:\w+)?',
        path,
      )
      if not match:
        return server.error(404, f'no such path {path}')
      parent, zone, kind, name, verb = match.groups()
      if zone not in self._zones:
        return server.error(
          403,
          f"Permission denied on 'locations/{zone}' (or it may not exist).",
        )
      if kind == 'queuedResources':
        return self._resource(method, parent, name, query, body)
      if kind == 'nodes':
        return self._node(parent, name, verb)
      if kind == 'operations':
        return 200, {'name': f'{parent}/operations/{name}', 'done': True}
      return server.error(404, f'no such kind {kind}')

  def _resource(self, method, parent, name, query, body):
    if method == 'POST':
      return self._create(parent, query['queuedResourceId'], body)
    if not name:
      found = [self._described(parent, each) for each in self.resources]
      return 200, {'queuedResources': found}
    if name not in self.resources:
      return server.error(
        404, f"Resource '{parent}/queuedResources/{name}' was not found"
      )
    found = self.resources[name]
    if method == 'DELETE':
      if found.state in ('ACTIVE', 'PROVISIONING') and (
        query.get('force', '').lower() != 'true'
      ):
        return server.error(
          400, f'QueuedResource {name} is {found.state}: use force to delete'
        )
      for node in found.nodes:
        self._gone(node)
        self._addresses.pop(node, None)
        self.node_states.pop(node, None)
      self._turn(found, 'DELETING')
      found.looks = self.looks
      return 200, {'name': f'{parent}/operations/delete-{name}', 'done': True}
    described = self._described(parent, name)
    self._step(name, found)
    return 200, described

  def _create(self, parent, name, body):
    if self.refusals:
      status, message = self.refusals.pop(0)
      return server.error(status, message)
    if name in self.resources:
      return server.error(
        409, f"Resource '{parent}/queuedResources/{name}' already exists"
      )
    spec = body['tpu']['nodeSpec'][0]
    several = spec.get('multisliceParams')
    nodes = [spec.get('nodeId')]
    if several:
      prefix = several.get('nodeIdPrefix', name)
      nodes = [f'{prefix}-{n}' for n in range(several['nodeCount'])]
    self.resources[name] = Resource(body, nodes, looks=self.looks)
    self.words.append(_COMING[0])
    return 200, {
      'name': f'{parent}/operations/create-{name}',
      'done': True,
      'response': {
        '@type': 'type.googleapis.com/google.cloud.tpu.v2.QueuedResource',
        'name': f'{parent}/queuedResources/{name}',
      },
    }

  def _described(self, parent, name):
    found = self.resources[name]
    spec = found.body['tpu']['nodeSpec'][0]
    node = spec['node']
    return {
      **{key: value for key, value in found.body.items() if key != 'tpu'},
      'name': f'{parent}/queuedResources/{name}',
      'state': {'state': found.state, **found.detail},
      'tpu': {
        'nodeSpec': [
          {'parent': parent, 'nodeId': each, 'node': node}
          for each in found.nodes
        ]
      },
    }

  def _step(self, name, found):
    """To its next state, if it has been seen in this one for long enough."""
    if found.state in ('ACTIVE', *_GONE) or found.state == self.stays:
      return
    found.looks -= 1
    if found.looks > 0:
      return
    found.looks = self.looks
    if found.state == 'DELETING':
      del self.resources[name]
      self.words.append('not there')
      return
    if self.fails and found.state == 'WAITING_FOR_RESOURCES':
      error = {'code': 8, 'message': self.fails}
      self._turn(found, 'FAILED', {'failedData': {'error': error}})
      return
    self._turn(found, _COMING[_COMING.index(found.state) + 1])
    if found.state == 'ACTIVE':
      kind = found.body['tpu']['nodeSpec'][0]['node']['acceleratorType']
      for node in found.nodes:
        self._addresses[node] = self._hosts(node, self._hosts_of(kind))

  def _turn(self, found, word, detail=None):
    found.state, found.detail = word, detail or {}
    self.words.append(word)

  def _node(self, parent, name, verb):
    if not name:
      found = [self._node_described(parent, each) for each in self._addresses]
      return 200, {'nodes': found}
    if name not in self._addresses:
      return server.error(
        404, f"Resource '{parent}/nodes/{name}' was not found"
      )
    if verb:
      return 200, {
        'guestAttributes': [
          {
            'queryValue': {
              'items': [{'namespace': 'x', 'key': 'hostname', 'value': address}]
            }
          }
          for address in self._addresses[name]
        ]
      }
    return 200, self._node_described(parent, name)

  def _node_described(self, parent, name):
    return {
      'name': f'{parent}/nodes/{name}',
      'id': f'{zlib.crc32(name.encode())}',
      'state': self.node_states.get(name, 'READY'),
      'health': 'HEALTHY',
      'apiVersion': 'V2',
      'networkEndpoints': [
        {'ipAddress': each, 'accessConfig': {'externalIp': each}}
        for number, each in enumerate(self._addresses[name])
        if (name, number) not in self.missing
      ],
    }
