"""What is asked of a cluster, checked before anything is sent to it."""

import dataclasses
import re
from collections.abc import Mapping

from launch.machines import Slice

# Of the one replicated job of a JobSet: child jobs are NAME-slice-0, ...
SLICE = 'slice'
_LABEL = r'[a-z]([-a-z0-9]*[a-z0-9])?'
_MOST = 63  # letters of a label of DNS


@dataclasses.dataclass(frozen=True)
class Order:
  """A JobSet's machines, and what it is called.

  Attributes:
    name: of the JobSet.
    slice: of which kind.
    slices: how many.
    image: of the container, with this checkout and what it needs.
    namespace: of the cluster.
    queue: a LocalQueue of Kueue; '': none.
    priority: a PriorityClass, which Kueue reads too; '': the usual.
    spot: on machines that may be taken away.
    reservation: on machines of that reservation; '': of none.
    service_account: of Kubernetes, by which pods reach gs://; '': the usual.
    secrets: of Kubernetes, whose keys become variables.
    environment: further variables.
    host_network: pods use the network of their machines.
    max_restarts: crashes after which all pods are started again.
    grace_sec: from SIGTERM to SIGKILL.
  """

  name: str
  slice: Slice
  image: str
  slices: int = 1
  namespace: str = 'default'
  queue: str = ''
  priority: str = ''
  spot: bool = False
  reservation: str = ''
  service_account: str = ''
  secrets: tuple[str, ...] = ()
  environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
  host_network: bool = False
  max_restarts: int = 3
  grace_sec: int = 300

  @property
  def hosts(self) -> int:
    """Pods of a slice, a machine each."""
    return self.slice.hosts('gke')

  @property
  def all_hosts(self) -> int:
    """Pods of all slices: processes of the job."""
    return self.slices * self.hosts


def check(order: Order) -> None:
  """Refuses what the cluster would refuse, or would never finish.

  Raises:
    ValueError: a name that cannot be, or flags that do not go together.
  """
  if not re.fullmatch(_LABEL, order.name):
    raise ValueError(
      f'--name={order.name}: expected small letters, digits and -, a letter '
      'first and no - at the end'
    )
  # JobSet counts what Kubernetes will add: five letters at random.
  pod = f'{order.name}-{SLICE}-{order.slices - 1}-{order.hosts - 1}-abcde'
  if len(pod) > _MOST:
    most = _MOST - (len(pod) - len(order.name))
    raise ValueError(
      f'--name={order.name} is too long: its last pod would be called {pod}, '
      f'{len(pod)} letters of {_MOST}; take a name of {most} at most'
    )
  for option, value in (('namespace', order.namespace), ('queue', order.queue)):
    if value and not re.fullmatch(r'[a-z0-9]([-a-z0-9]{,61}[a-z0-9])?', value):
      raise ValueError(
        f'--{option}={value}: expected small letters, digits and -, 63 at most'
      )
  if not order.image or re.search(r'\s', order.image):
    raise ValueError(
      f'--image={order.image!r}: expected one that holds this checkout, as '
      'us-docker.pkg.dev/PROJECT/REPOSITORY/scale4d:TAG'
    )
  if order.spot and order.reservation:
    raise ValueError('expected at most one of --spot and --reservation')
  if order.slices > 1 and order.hosts == 1:
    raise ValueError(
      f'--slices={order.slices} of {order.slice.name}: GKE joins slices of '
      'several hosts only; take one larger slice'
    )


def moves(image: str) -> bool:
  """Whether a name of an image may mean other code tomorrow."""
  if '@sha256:' in image:
    return False
  _, colon, tag = image.rpartition('/')[2].partition(':')
  return not colon or tag == 'latest'
