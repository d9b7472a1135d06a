"""The same job by Google's own tools: their commands, in words.

What they make of exit codes differs from launch/policy.py (docs/launch.md).
"""

import shutil
import subprocess
from collections.abc import Sequence

from base import exits
from launch import policy
from launch.gke.order import Order
from launch.job import Job

TOOLS = {
  'xpk': 'pip install xpk',
  'gcluster': 'https://docs.cloud.google.com/cluster-toolkit',
}
# Those above 126 they start again anyway.
_AGAIN = sorted((policy.STOPPED | {exits.FAULT, policy.LATE}) - policy.HOPELESS)
_MOST_OF_XPK = 39  # letters of a name


def words(
  tool: str, order: Order, job: Job, *, cluster: str, project: str, zone: str
) -> list[str]:
  """The command that hands the job over.

  Args:
    tool: of TOOLS.
    order: checked.
    job: that each pod runs.
    cluster: that the tool asks for, as the next two.
    project: of Google Cloud.
    zone: or region, of the cluster.

  Raises:
    ValueError: it has no flag for what is asked for.
  """
  for option, value in (
    ('cluster', cluster),
    ('project', project),
    ('zone', zone),
  ):
    if not value:
      raise ValueError(f'--via={tool} needs --{option}')
  lacks = {
    '--secret': order.secrets,
    '--env': order.environment,
    '--host_network': order.host_network,
  }
  if tool == 'gcluster':
    lacks |= {'--spot': order.spot, '--reservation': order.reservation}
  else:
    lacks['--service_account'] = order.service_account
    # xpk has one queue, and reads its own priorities.
    lacks['--queue'] = order.queue not in ('', 'multislice-queue')
  given = [option for option, value in lacks.items() if value]
  if given:
    raise ValueError(f'--via={tool} has no {", ".join(given)}: leave it out')
  return (
    _xpk(order, job, cluster, project, zone)
    if tool == 'xpk'
    else _gcluster(order, job, cluster, project, zone)
  )


def run(command: Sequence[str]) -> int:
  """Its exit code.

  Raises:
    ValueError: the tool is not there.
  """
  if not shutil.which(command[0]):
    raise ValueError(f'{command[0]} is not on PATH: {TOOLS[command[0]]}')
  return subprocess.run(command, check=False).returncode


def _type(order: Order) -> str:
  """'v5p-4x4x8', which both know; a number may mean several shapes."""
  prefix, _, _ = order.slice.accelerator_type.rpartition('-')
  return f'{prefix}-{order.slice.topology}'


def _xpk(order, job, cluster, project, zone):
  if len(order.name) > _MOST_OF_XPK:
    raise ValueError(
      f'--name={order.name} has {len(order.name)} letters, xpk takes '
      f'{_MOST_OF_XPK}'
    )
  found = [
    *('xpk', 'workload', 'create', f'--workload={order.name}'),
    *(f'--cluster={cluster}', f'--project={project}', f'--zone={zone}'),
    *(f'--tpu-type={_type(order)}', f'--num-slices={order.slices}'),
    *(f'--docker-image={order.image}', f'--command={job}'),
    f'--max-restarts={order.max_restarts}',
    f'--restart-on-exit-codes={",".join(map(str, _AGAIN))}',
    f'--termination-grace-period-seconds={order.grace_sec}',
    f'--namespace={order.namespace}',
  ]
  if order.priority:
    found.append(f'--priority={order.priority}')
  if order.spot:
    found.append('--spot')
  if order.reservation:
    found.append(f'--reservation={order.reservation}')
  return found


def _gcluster(order, job, cluster, project, zone):
  found = [
    *('gcluster', 'job', 'submit', f'--name={order.name}'),
    *(f'--cluster={cluster}', f'--project={project}', f'--location={zone}'),
    f'--gke-namespace={order.namespace}',
    f'--compute-type={order.slice.machine_type}',
    *(f'--topology={order.slice.topology}', f'--num-slices={order.slices}'),
    *(f'--image={order.image}', f'--command={job}'),
    f'--restarts={order.max_restarts}',
    # These do not count there.
    f'--restart-on-exit-codes={exits.AGAIN}',
    f'--grace-period={order.grace_sec}s',
  ]
  if order.queue:
    found.append(f'--queue={order.queue}')
  if order.priority:
    found.append(f'--priority={order.priority}')
  if order.service_account:
    found.append(f'--service-account={order.service_account}')
  return found
