"""Queued resources of the Cloud TPU API: v4, v5e, v5p and v6e.

Google has frozen that API: it gets no newer TPUs (TPU7x), and no features.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from launch.tpu import gcloud
from launch.tpu.machine import Host, Order, Phase, State
from launch.tpu.refusals import Refused

THROUGH = ('external', 'internal', 'iap')
_LONGEST = 63  # letters of a node's name
_PHASES = {
  'CREATING': (Phase.WAITING, 'the request is being read'),
  'ACCEPTED': (Phase.WAITING, 'in the queue'),
  'WAITING_FOR_RESOURCES': (Phase.WAITING, 'no free chips yet, in the queue'),
  'PROVISIONING': (Phase.MAKING, 'chips were found'),
  'ACTIVE': (Phase.READY, ''),
  'SUSPENDING': (Phase.LOST, 'the machines are being taken away'),
  'SUSPENDED': (Phase.LOST, 'the machines were taken away'),
  'FAILED': (Phase.FAILED, ''),
  'DELETING': (Phase.LEAVING, ''),
}
# Of a node, beside READY. What is here cannot be used any more.
_LOST = ('PREEMPTED', 'TERMINATED', 'STOPPING', 'STOPPED', 'DELETING')
_LOST += ('HIDDEN', 'HIDING')
_SSH = (
  *('-oConnectTimeout=20', '-oServerAliveInterval=15'),
  *('-oServerAliveCountMax=4', '-oLogLevel=ERROR'),
)


@dataclasses.dataclass(frozen=True)
class Reach:
  """Where the machines are, and how ssh gets there.

  Attributes:
    project: of Google Cloud.
    zone: in it.
    through: one of THROUGH: addresses of the web or of the same network, or
      Identity-Aware Proxy.
    ssh_port: of the hosts.
    create_flags: further ones of gcloud's create, as --network=NAME.
  """

  project: str
  zone: str
  through: str = 'external'
  ssh_port: int = 22
  create_flags: Sequence[str] = ()


class QueuedResource:
  """The machines of an order, as a `launch.tpu.machine.Machines`."""

  def __init__(self, order: Order, reach: Reach):
    """Checks what the service would refuse late.

    Raises:
      ValueError: a name or a slice that it does not have.
    """
    self._order, self._reach = order, reach
    last = f'-{order.slices - 1}' if order.slices > 1 else ''
    longest = _LONGEST - len(last)
    if not re.fullmatch(r'[a-z]([-a-z0-9]*[a-z0-9])?', order.name):
      raise ValueError(
        f'--name={order.name}: expected lower-case letters, digits and '
        'hyphens, a letter first and no hyphen last'
      )
    if len(order.name) > longest:
      raise ValueError(
        f'--name={order.name} has {len(order.name)} letters, expected at most '
        f'{longest}: its nodes are called {order.name}{last}'
      )
    kind = order.slice
    if not kind.runtime_version:
      raise ValueError(
        f'{kind.accelerator_type} is not in the Cloud TPU API, which Google '
        'has frozen: use `python -m launch.gke`'
      )
    # Of another shape, gcloud takes v4 alone by --type and --topology.
    if not kind.is_named and kind.generation != 'v4':
      raise ValueError(
        f'{kind.name} has no name of its own ({kind.accelerator_type} is '
        'another shape), and gcloud takes shapes of v4 only: choose a named '
        'one, or use `python -m launch.gke`'
      )

  def create_words(self) -> list[str]:
    """The command that rents them."""
    order = self._order
    kind = [f'--accelerator-type={order.slice.accelerator_type}']
    if not order.slice.is_named:
      kind = ['--type=v4', f'--topology={order.slice.topology}']
    nodes = [f'--node-id={order.name}']
    if order.slices > 1:
      nodes = [f'--node-count={order.slices}', f'--node-prefix={order.name}']
    tier = [] if order.tier == 'on-demand' else [f'--{order.tier}']
    return self._words(
      *('queued-resources', 'create', order.name, *kind),
      f'--runtime-version={order.slice.runtime_version}',
      *(*nodes, *tier, f'--valid-until-duration={order.wait_sec}s'),
      *('--labels=made-by=scale4d', *self._reach.create_flags),
    )

  def create(self) -> None:
    """Rents them; they come later.

    Raises:
      Refused: they cannot be had.
    """
    gcloud.ask(self.create_words(), f'renting {self._order}')

  def delete(self) -> None:
    """Gives them back, whatever they do; they are gone later.

    Raises:
      Refused: they cannot be.
    """
    gcloud.ask(self.delete_words(), f'deleting {self._order.name}')

  def delete_words(self) -> list[str]:
    """The command of `delete`."""
    words = ('queued-resources', 'delete', self._order.name)
    return self._words(*words, '--force', '--async')

  def look_words(self) -> list[str]:
    """The command by which `state` begins."""
    words = ('queued-resources', 'describe', self._order.name)
    return self._words(*words, '--format=json')

  def list_words(self) -> list[str]:
    """The command by which `state` knows of hosts."""
    return self._words('tpu-vm', 'list', '--format=json')

  def state(self) -> State:
    """How they are.

    Raises:
      Refused: it cannot be found out.
    """
    name = self._order.name
    try:
      found = json.loads(gcloud.ask(self.look_words(), f'asking for {name}'))
    except Refused as refused:
      if refused.kind != 'absent':
        raise
      return State(Phase.ABSENT, 'not there')
    data = found.get('state', {})
    word = data.get('state', 'STATE_UNSPECIFIED')
    phase, why = _PHASES.get(word, (Phase.WAITING, 'a state not known here'))
    error = data.get('failedData', {}).get('error', {}).get('message', '')
    if phase is Phase.LOST and data.get('stateInitiator') == 'USER':
      why = 'somebody deleted the machines'
    specs = found['tpu']['nodeSpec']
    self._check_ours(specs)
    if phase is not Phase.READY:
      return State(phase, word, error or why)
    return self._of_nodes(word, [each['nodeId'] for each in specs])

  def _check_ours(self, specs: Sequence[dict[str, Any]]) -> None:
    """Raises ValueError if what has the name is something else."""
    order = self._order
    kind = specs[0]['node'].get('acceleratorType', '')
    several = specs[0].get('multisliceParams', {})
    count = several.get('nodeCount', len(specs))
    expected = order.slice.accelerator_type if order.slice.is_named else kind
    if (kind, count) != (expected, order.slices):
      raise ValueError(
        f'--name={order.name} is there already, and is {count} x {kind}, not '
        f'{order.slices} x {expected}: choose another name, or give it back by '
        f'`python -m launch.tpu stop --name={order.name}`'
      )

  def run_words(self, command: str, host: Host | None) -> list[str]:
    """The command that runs one of a shell on a host, or on all."""
    flags = (f'-p{self._reach.ssh_port}', *_SSH)
    return self._words(
      *('queued-resources', 'ssh', self._order.name, *self._at(host)),
      *(f'--ssh-flag={each}' for each in flags),
      f'--command={command}',
    )

  def copy_words(
    self, path: pathlib.Path, name: str, host: Host | None
  ) -> list[str]:
    """The command that copies a file to the homes of one host, or of all."""
    flags = (f'-P{self._reach.ssh_port}', *_SSH)
    return self._words(
      *('queued-resources', 'scp', str(path), f'{self._order.name}:{name}'),
      *self._at(host),
      *(f'--scp-flag={each}' for each in flags),
    )

  def _at(self, host: Host | None) -> list[str]:
    if host is None:
      return ['--node=all', '--worker=all', *self._through()]
    return [f'--node={host.slice}', f'--worker={host.worker}', *self._through()]

  def _through(self) -> list[str]:
    return {
      'external': [],
      'internal': ['--internal-ip'],
      'iap': ['--tunnel-through-iap'],
    }[self._reach.through]

  def _words(self, *words: str) -> list[str]:
    reach = self._reach
    return [
      *('gcloud', 'compute', 'tpus', *words, f'--zone={reach.zone}'),
      *(f'--project={reach.project}', '--quiet'),
    ]

  def _of_nodes(self, word: str, names: Sequence[str]) -> State:
    """Of an active resource: each node must be ready, with all its hosts."""
    listed = json.loads(gcloud.ask(self.list_words(), 'listing nodes'))
    nodes = {each['name'].rpartition('/')[2]: each for each in listed}
    expected = self._order.slice.hosts('tpu_vm')
    hosts, coming = [], []
    for number, name in enumerate(names):
      node = nodes.get(name, {})
      state = node.get('state', 'not listed')
      addresses = _addresses(node)
      if state in _LOST:
        return State(Phase.LOST, state, f'node {name} is gone')
      if state != 'READY':
        coming.append(f'node {name} is {state}')
      elif len(addresses) != expected:
        coming.append(
          f'node {name} shows {len(addresses)} of its {expected} hosts'
        )
      hosts += [
        Host(number * expected + worker, number, worker, address)
        for worker, address in enumerate(addresses)
      ]
    if coming:
      return State(Phase.MAKING, word, '; '.join(coming))
    return State(Phase.READY, word, hosts=tuple(hosts))


def _addresses(node: dict[str, Any]) -> list[str]:
  """Of a node's hosts, in the order of its workers.

  A host has an end in each network of the node.
  """
  networks = max(1, len(node.get('networkConfigs', ())))
  ends = node.get('networkEndpoints', ())
  return [each['ipAddress'] for each in ends[::networks]]
