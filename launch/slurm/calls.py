"""Commands of Slurm, and what their refusals mean."""

import re
import shutil
import subprocess
import time

_AGAIN_SEC = 2.0
_PASSING = (
  'Unable to contact|Socket timed out|Connection refused|connect failure|'
  'Transport endpoint is not connected|temporarily unable'
)
# What Slurm says -> what to do.
_REMEDIES = {
  r'Invalid partition name|invalid partition specified': (
    'choose a --partition that `sinfo` lists'
  ),
  r'Invalid account': (
    'give one of `sacctmgr show associations user=$USER` as '
    '--sbatch=account=NAME'
  ),
  r'Invalid qos': (
    'give one of `sacctmgr show qos` as --sbatch=qos=NAME, or none'
  ),
  r'accounting/QOS policy|AssocMax|QOSMax|AssocGrp|QOSGrp': (
    'a quota of your account or its QOS is used up, or too small: wait for '
    'your other jobs, or ask for fewer --nodes or less --time'
  ),
  r'time limit is invalid|PartitionTimeLimit': (
    'give less --time than the limit that `sinfo` lists, since the job goes '
    'on in a next start, or another --partition'
  ),
  r'generic resource|gres': (
    'this partition has no such GPUs: see `sinfo -o "%P %G"`, then choose '
    '--gpus_per_node and --partition'
  ),
  r'PartitionConfig': (
    'the partition has not so many nodes, or not for so long: see `sinfo -o '
    '"%P %D %l"`, then ask for fewer --nodes, for less --time, or for another '
    '--partition'
  ),
  r'node configuration is not available|PartitionNodeLimit'
  r'|Memory specification|BadConstraints|feature specification|Node count': (
    'no nodes of the partition are, or have, so much: see `sinfo -N -l`, then '
    'ask for fewer --nodes, --tasks_per_node or --gpus_per_node'
  ),
  r'PartitionDown|PartitionInactive|partition .*down': (
    'the partition takes no jobs: choose another --partition'
  ),
  _PASSING: (
    'its controller does not answer: is this a login node, and does `sinfo` '
    'work?'
  ),
  r'configuration source|configuration file': (
    'this machine knows of no cluster: run it on a login node, or set '
    'SLURM_CONF'
  ),
  r'Invalid job id': 'Slurm has forgotten the job: the logs have how it ended',
  r'Access/permission denied|Permission denied': (
    'it is the job of another user'
  ),
}
# Reasons of waiting that no patience ends.
NEVER = re.compile(
  'PartitionTimeLimit|PartitionConfig|PartitionNodeLimit|BadConstraints|'
  'InvalidAccount|InvalidQOS|(Assoc|QOS)Max(Wall|Node|Cpu|Gres|TRES).*PerJob'
)


class Unreachable(ValueError):
  """The controller does not answer now; it may soon."""


def call(*words: str, text: str = '', patience_sec: float = 0.0) -> str:
  """What a command of Slurm says.

  Args:
    *words: of it.
    text: that it reads.
    patience_sec: in which the controller may be restarted, or busy.

  Raises:
    ValueError: it is not here, or refuses.
    Unreachable: its controller does not answer.
  """
  if not shutil.which(words[0]):
    raise ValueError(
      f'{words[0]} is no program of this machine: run this where Slurm is, '
      'such as a login node, or install its client (Debian: slurm-client); '
      '--dry_run prints the script without'
    )
  until = time.monotonic() + patience_sec
  while True:
    done = subprocess.run(words, input=text, capture_output=True, text=True)
    if not done.returncode:
      return done.stdout
    said = ' '.join(done.stderr.split()) or f'exit code {done.returncode}'
    is_passing = bool(re.search(_PASSING, said, re.I))
    if not is_passing or time.monotonic() > until:
      break
    time.sleep(_AGAIN_SEC)
  kind = Unreachable if is_passing else ValueError
  raise kind(f'{words[0]} refuses: {said}; {remedy(said)}')


def remedy(said: str) -> str:
  """What to do about an error or a reason of Slurm."""
  for pattern, what in _REMEDIES.items():
    if re.search(pattern, said, re.I):
      return what
  return 'see its manual, and --dry_run'


def find(job: str) -> dict[str, str]:
  """What Slurm knows of a job: JobState, Reason, ...; {} if it forgot it."""
  try:
    said = call('scontrol', '--oneliner', 'show', 'job', job)
  except ValueError as error:
    if 'Invalid job id' in str(error):
      return {}
    raise
  return dict(re.findall(r'(\S+?)=(.*?)(?=\s+\S+=|\s*$)', said))
