"""kubectl: a cluster is asked by it, and what goes wrong is said in a line."""

import dataclasses
import json
import re
import subprocess
from collections.abc import Sequence
from typing import Any

JOBSETS = 'jobsets.jobset.x-k8s.io'
WORKLOADS = 'workloads.kueue.x-k8s.io'
QUEUES = 'localqueues.kueue.x-k8s.io'
_INSTALL_JOBSET = (
  'kubectl apply --server-side -f https://github.com/kubernetes-sigs/jobset/'
  'releases/download/v0.12.0/manifests.yaml'
)
_CREDENTIALS = (
  '`gcloud container clusters get-credentials CLUSTER --location=LOCATION '
  '--project=PROJECT`'
)
# What kubectl says -> what it means, and what to do. The first that matches.
_KNOWN = (
  (
    r'localhost:8080 was refused|invalid configuration: no configuration',
    f'no cluster is known here: {_CREDENTIALS}',
  ),
  (
    r'context was not found|context "[^"]*" does not exist',
    f'no such --context: `kubectl config get-contexts` lists them, or '
    f'{_CREDENTIALS}',
  ),
  (
    r'gke-gcloud-auth-plugin.* not found',
    'the plugin for credentials is missing: `gcloud components install '
    'gke-gcloud-auth-plugin`',
  ),
  (
    r'logged in to the server|Unauthorized|getting credentials|invalid_grant'
    r'|Reauthentication',
    f'the credentials of this cluster are no longer good: `gcloud auth login`, '
    f'then {_CREDENTIALS}',
  ),
  (
    r'was refused|Unable to connect|i/o timeout|no route to host|no such host'
    r'|TLS handshake timeout',
    'the cluster cannot be reached from here: is it running, and is this '
    'machine in its authorised networks?',
  ),
  (
    r'no matches for kind "JobSet"|resource type "jobsets"',
    f'the cluster has no JobSet: `{_INSTALL_JOBSET}`',
  ),
  (
    r'resource type "(localqueues|workloads)"',
    'the cluster has no Kueue: leave out --queue, or install Kueue',
  ),
  (
    r'namespaces "[^"]*" not found',
    'there is no such --namespace: `kubectl create namespace NAME`',
  ),
  (
    r'exceeded quota',
    'a ResourceQuota of the namespace is used up: take fewer chips, or ask for '
    'more',
  ),
  (
    r'serviceaccount "[^"]*" not found|error looking up service account',
    'there is no such --service_account in the namespace',
  ),
  (
    r'no PriorityClass with name',
    'there is no such --priority: `kubectl get priorityclasses` lists them',
  ),
  (
    r'forbidden: User|is forbidden',
    'this account may not do that: it needs the role Kubernetes Engine '
    'Developer',
  ),
  (
    r'denied the request',
    'the cluster does not take this JobSet: --dry_run prints it',
  ),
  (
    r'unknown field',
    'the JobSet of the cluster is too old, 0.10 or newer is needed: '
    f'`{_INSTALL_JOBSET}`',
  ),
)


@dataclasses.dataclass(frozen=True)
class Kubectl:
  """Of one namespace of one cluster.

  Attributes:
    namespace: that all is in.
    context: of ~/.kube/config; '': the current one.
  """

  namespace: str
  context: str = ''

  def words(self, *words: str) -> list[str]:
    """The whole command."""
    context = [f'--context={self.context}'] if self.context else []
    return ['kubectl', *context, f'--namespace={self.namespace}', *words]

  def run(self, *words: str, given: str = '') -> str:
    """What it prints.

    Args:
      *words: behind the flags of cluster and namespace.
      given: on its standard input.

    Raises:
      ValueError: it failed, or is not there.
    """
    command = self.words(*words)
    try:
      done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False
      )
    except FileNotFoundError:
      raise ValueError(
        'kubectl is not on PATH: `gcloud components install kubectl`, or '
        'https://kubernetes.io/docs/tasks/tools'
      ) from None
    if done.returncode:
      raise ValueError(said(words, done.stderr))
    return done.stdout

  def follow(self, *words: str) -> int:
    """Its exit code; what it prints goes to where ours does."""
    return subprocess.run(self.words(*words), check=False).returncode

  def find(self, kind: str, name: str) -> dict[str, Any] | None:
    """One object; None if there is none.

    Raises:
      ValueError: the cluster does not tell.
    """
    words = ('get', kind, name, '--ignore-not-found', '--output=json')
    found = self.run(*words)
    return json.loads(found) if found.strip() else None

  def list(self, kind: str, **labels: str) -> list[dict[str, Any]]:
    """Objects with these labels.

    Raises:
      ValueError: the cluster does not tell.
    """
    chosen = ','.join(f'{key}={value}' for key, value in labels.items())
    words = ['get', kind, '--output=json']
    found = self.run(*words, *([f'--selector={chosen}'] if chosen else []))
    return json.loads(found)['items']


def said(words: Sequence[str], stderr: str) -> str:
  """One line on what went wrong.

  Args:
    words: of the command that failed.
    stderr: what it said.
  """
  lines = [
    line.strip()
    for line in stderr.splitlines()
    # Of kubectl's own log: the same is said again in its last line.
    if line.strip() and not re.match(r'[EWI]\d{4} ', line)
  ]
  last = lines[-1] if lines else 'it said nothing'
  for pattern, meaning in _KNOWN:
    match = re.search(pattern, stderr)
    if match:
      line = next((each for each in lines if re.search(pattern, each)), last)
      return f'{meaning} (kubectl {words[0]}: {line})'
  return f'kubectl {words[0]} failed: {last}'
