"""What a process of this machine is started as, and with."""

import os
import shutil
import socket
import sys
from collections.abc import Sequence

from base.exits import ATTEMPT
from launch.job import Job
from launch.local.shares import Share

_HOST = '127.0.0.1'
# Variables that gRPC reads, which are written in small letters.
_PROXIES = ('grpc_proxy', 'https_proxy', 'http_proxy')
_DIRECT = ('no_grpc_proxy', 'no_proxy')


def command(job: Job) -> list[str]:
  """Its words; `python` is the one that has what this project needs.

  Raises:
    ValueError: the first of them is no program.
  """
  first, *words = job.command
  if first in ('python', 'python3'):
    first = sys.executable
  if not shutil.which(first):
    raise ValueError(
      f'{first or repr(first)} is no program of this machine: expected a '
      'command behind --, such as -- python -m train --config=... --workdir=...'
    )
  return [first, *words]


def of(shares: Sequence[Share], attempt: int) -> list[dict[str, str]]:
  """Variables of each process of a start.

  Args:
    shares: of each in the machine's devices.
    attempt: number of this start.
  """
  common = {
    **os.environ,
    # So that a log has all that was said before a crash.
    'PYTHONUNBUFFERED': '1',
    ATTEMPT: f'{attempt}',
  }
  if len(shares) == 1:
    return [common | shares[0]]
  address = f'{_HOST}:{_free_port()}'
  common |= {
    **_around_proxies(),
    'JAX_COORDINATOR_ADDRESS': address,
    # Not to the network, to which it listens otherwise.
    'JAX_COORDINATOR_BIND_ADDRESS': address,
    'JAX_NUM_PROCESSES': f'{len(shares)}',
  }
  return [
    {**common, 'JAX_PROCESS_ID': f'{process}', **share}
    for process, share in enumerate(shares)
  ]


def _around_proxies() -> dict[str, str]:
  """What makes processes reach one another, where the web needs a proxy.

  By it they would wait for one another until the time is over.
  """
  if not any(map(os.environ.get, _PROXIES)):
    return {}
  direct = next(filter(None, map(os.environ.get, _DIRECT)), '')
  return {'no_grpc_proxy': f'{direct},{_HOST}'.lstrip(',')}


def _free_port() -> int:
  with socket.socket() as free:
    free.bind((_HOST, 0))
    return free.getsockname()[1]
