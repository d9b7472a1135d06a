"""A cloud of one project on this machine, and the environment to reach it.

The gcloud that a drill runs is the real one: its requests go to `Api`, its ssh
to `Hosts`. It is given a home and a configuration of its own.
"""

import getpass
import pathlib
import shutil
from collections.abc import Mapping

from launch import machines
from launch.drill.cloud import hosts as hosts_lib
from launch.drill.cloud.api import Api

PROJECT, ZONE = 'drill', 'us-east5-a'


class Cloud:
  """A context manager: at its end nothing of it runs any more.

  Attributes:
    api: what answers gcloud.
    hosts: what answers ssh.
    environment: variables by which gcloud finds them.
  """

  def __init__(self, folder: pathlib.Path):
    """Starts it.

    Args:
      folder: of its own, that need not be there.
    """
    home = folder / 'home'
    key = hosts_lib.make_key(home / '.ssh' / 'google_compute_engine')
    self.hosts = hosts_lib.Hosts(folder / 'hosts', key)
    user = getpass.getuser()
    self.api = Api(
      self.hosts.start,
      lambda kind: machines.parse(kind).hosts('tpu_vm'),
      self.hosts.lose_node,
      # As gcloud looks for it.
      keys=f'{user}:{key}',
    )
    url = f'http://127.0.0.1:{self.api.port}/'
    self.environment: Mapping[str, str] = {
      'HOME': str(home),
      'CLOUDSDK_CONFIG': str(folder / 'gcloud'),
      'CLOUDSDK_CORE_PROJECT': PROJECT,
      'CLOUDSDK_AUTH_DISABLE_CREDENTIALS': 'true',
      'CLOUDSDK_CORE_DISABLE_PROMPTS': '1',
      'CLOUDSDK_CORE_DISABLE_USAGE_REPORTING': 'true',
      'CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK': 'true',
      'CLOUDSDK_CORE_CHECK_GCE_METADATA': 'false',
      'CLOUDSDK_API_ENDPOINT_OVERRIDES_TPU': url,
      'CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE': f'{url}compute/v1/',
      'no_proxy': '127.0.0.1,localhost',
    }

  def __enter__(self) -> 'Cloud':
    return self

  def __exit__(self, *unused) -> None:
    self.api.close()
    self.hosts.close()


def missing() -> str:
  """Why there can be no stand-in on this machine; '' if there can."""
  if not shutil.which('gcloud'):
    return 'gcloud is not on PATH'
  return hosts_lib.missing()
