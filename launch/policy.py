"""What to do when the processes of an attempt have ended: one policy for all.

Each backend that starts a run on machines finds out how its processes ended,
in the order in which they did, and asks here. What a cluster decides by itself
(a JobSet's failure rules, a script of Slurm) is written from these sets.
"""

import dataclasses
import signal
from collections.abc import Sequence

from base import exits

# JAX aborts a process whose peers have gone: it says nothing of the cause.
ABORTED = 134
# Of a process that a launcher ended because it did not join in time, as
# timeout(1) has it.
LATE = 124
# Kinds of codes. Those that Python and shells give for a signal differ in
# form: -15 is 143.
RIGHT = frozenset({exits.DONE})
STOPPED = frozenset({exits.AGAIN})
HOPELESS = frozenset({exits.WRONG, exits.USAGE})


@dataclasses.dataclass(frozen=True)
class Verdict:
  """What becomes of a run.

  Attributes:
    again: whether to start all of its processes again.
    is_done: whether it has ended as it should.
    counts: whether starting again is one of --max_restarts.
    process: number of the one that decided; -1: all of them.
    code: that it ended with.
    why: for people.
  """

  again: bool
  is_done: bool
  counts: bool
  process: int
  code: int
  why: str


def as_shells_have_it(code: int) -> int:
  """-15, as Python tells of a signal, is 143."""
  return 128 - code if code < 0 else code


def verdict(
  ended: Sequence[tuple[int, int]], *, restarts: int, max_restarts: int
) -> Verdict:
  """What an attempt's end means.

  The first code that is not 134 is the cause: JAX aborts the others.

  Args:
    ended: (process, code) in the order in which they ended; of those that the
      launcher ended itself afterwards, nothing.
    restarts: that counted so far.
    max_restarts: which may count.
  """
  ended = [(process, as_shells_have_it(code)) for process, code in ended]
  if not ended:
    # Machines that are gone tell nothing.
    ended = [(-1, ABORTED)]
  if all(code in RIGHT for _, code in ended):
    return Verdict(False, True, False, -1, exits.DONE, 'done')
  bad = [(process, code) for process, code in ended if code not in RIGHT]
  causes = [(process, code) for process, code in bad if code != ABORTED]
  process, code = (causes or bad)[0]
  if code in STOPPED:
    return Verdict(
      True, False, False, process, code, 'saved and stopped, goes on'
    )
  if code in HOPELESS:
    why = 'wrong input or a failed check: starting again would not help'
    return Verdict(False, False, False, process, code, why)
  who = f'process {process}' if process >= 0 else 'no process told why it'
  why = f'{who} ended with {meaning(code)}'
  if restarts >= max_restarts:
    return Verdict(
      *(False, False, True, process, code),
      f'{why}; {restarts} of --max_restarts={max_restarts} are used up',
    )
  return Verdict(True, False, True, process, code, why)


def is_good(code: int) -> bool:
  """Whether others may still go on when one has ended so: done, or saved."""
  return code in RIGHT | STOPPED


def pause(restarts: int) -> float:
  """Seconds before the next start, 64 at most: what is broken may mend.

  Args:
    restarts: that counted, with this one; 0: one that does not count.
  """
  return 2.0 ** min(max(0, restarts - 1), 6)


def meaning(code: int) -> str:
  """'139 (SIGSEGV)'."""
  code = as_shells_have_it(code)
  if code == LATE:
    return f'{code} (did not join in time)'
  # Above 128 there are also codes that are no signal, such as 255.
  names = {128 + each: each.name for each in signal.Signals}
  return f'{code} ({names[code]})' if code in names else f'{code}'
