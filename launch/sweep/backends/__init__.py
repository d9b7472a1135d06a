"""Where the commands of a sweep run: one module per kind of place."""

import dataclasses
from typing import Any, Protocol

from launch.sweep.stages import Stage

# What a backend knows a job by; kept in the run's state.json.
Job = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class End:
  """How a job ended.

  Attributes:
    code: exit code, see `base/exits.py`.
    said: the last line of its log, if there is one.
  """

  code: int
  said: str


class Backend(Protocol):
  """A place where commands run.

  Attributes:
    stays: whether jobs go on when the sweep has ended.
  """

  stays: bool

  def start(self, stage: Stage, *, name: str, attempt: int) -> Job:
    """Starts a command.

    Args:
      stage: which.
      name: of its run.
      attempt: which start of the run this is, from 1.

    Raises:
      ValueError: it cannot be started; another try would not help.
    """

  def find(self, stage: Stage, *, name: str, job: Job) -> Job:
    """The job that a sweep before this one started; empty: it has ended.

    Args:
      stage: which was the next to run.
      name: of its run.
      job: as that sweep noted it; empty, if it was killed before it could.
    """

  def poll(self, job: Job) -> End | None:
    """How it ended; None as long as it has not."""

  def stop(self, job: Job, *, now: bool = False) -> None:
    """Tells it to save and stop, or ends it now."""

  def close(self) -> None:
    """Is called when the sweep ends, however it does."""
