"""Where the commands of a sweep run: one module per kind of place."""

import dataclasses
from collections.abc import Sequence
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
    stays: whether jobs go on when the sweep has ended; such a place starts
      them again by itself where they crash.
    poll_sec: seconds between two looks.
  """

  stays: bool
  poll_sec: float

  def words(self, stage: Stage, *, name: str) -> Sequence[str]:
    """The command by which a stage of a run is started."""

  def check(self, stage: Stage, *, name: str) -> None:
    """Whether it can be started; nothing is.

    Raises:
      ValueError: it cannot.
    """

  def start(self, stage: Stage, *, name: str, attempt: int) -> Job:
    """Starts a command.

    Args:
      stage: which.
      name: of its run.
      attempt: which start of the run this is, from 1.

    Raises:
      ValueError: it cannot be started.
    """

  def find(self, stage: Stage, *, name: str, job: Job, attempt: int) -> Job:
    """A job of an earlier sweep that may go on; empty: there is none.

    Args:
      stage: which was the next to run.
      name: of its run.
      job: as that sweep noted it; empty, if it noted none.
      attempt: which start it was.
    """

  def poll(self, job: Job) -> End | None:
    """How it ended; None as long as it has not."""

  def stop(self, job: Job, *, now: bool = False) -> None:
    """Tells it to save and stop, or ends it now."""

  def end(self, stage: Stage, *, name: str) -> str:
    """Ends what goes on of a run without a sweep; what came of that.

    Raises:
      ValueError: it cannot be ended.
    """

  def close(self) -> None:
    """Is called when the sweep ends, however it does."""
