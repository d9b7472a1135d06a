"""Which pods that end badly start all of them again: launch/policy.py for GKE.

Two layers decide. A pod's end makes its Job fail, with a message that has the
exit code; the JobSet reads the message. Both take the first rule that matches.
A code that no rule names fails the Job too, since nothing is started again
within one (backoffLimit 0), and the JobSet starts all again and counts.
"""

from collections.abc import Collection
from typing import Any

from launch import policy

CONTAINER = 'job'
_FREE, _AT_ONCE = 'RestartJobSetAndIgnoreMaxRestarts', 'FailJobSet'
# A machine that is taken away, or drained.
_TAKEN = 'DisruptionTarget'


def of_pods() -> list[dict[str, Any]]:
  """Rules of a Job's podFailurePolicy."""
  codes = [
    {
      'action': 'FailJob',
      'onExitCodes': {
        'containerName': CONTAINER,
        'operator': 'In',
        'values': sorted(each),
      },
    }
    for each in (policy.STOPPED, policy.HOPELESS)
  ]
  taken = {'type': _TAKEN, 'status': 'True'}
  return [*codes, {'action': 'FailJob', 'onPodConditions': [taken]}]


def of_jobs() -> list[dict[str, Any]]:
  """Rules of a JobSet's failurePolicy."""
  return [
    _rule('saved_and_stopped', _FREE, _exit_code(policy.STOPPED)),
    _rule('wrong_input', _AT_ONCE, _exit_code(policy.HOPELESS)),
    _rule('machine_taken_away', _FREE, f'has condition {_TAKEN} matching'),
  ]


def _rule(name: str, action: str, pattern: str) -> dict[str, Any]:
  return {
    'name': name,
    'action': action,
    'onJobFailureReasons': ['PodFailurePolicy'],
    # Right whether the whole message must match or a part of it.
    'onJobFailureMessagePatterns': [f'.*{pattern}.*'],
  }


def _exit_code(codes: Collection[int]) -> str:
  return f'failed with exit code ({"|".join(map(str, sorted(codes)))}) matching'
