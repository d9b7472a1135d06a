"""A run as its sweep follows it: what is done, what runs, what is next."""

import contextlib
import dataclasses
import time
from collections.abc import Sequence

from base import command, files, jsons
from launch import policy
from launch.checks import Cost
from launch.sweep import state as state_lib
from launch.sweep.backends import End, Job
from launch.sweep.runs import Item
from launch.sweep.stages import TRAIN, Stage
from launch.sweep.state import State

_TAIL = 1 << 16  # bytes of a log that hold its last lines


@dataclasses.dataclass
class Entry:
  """A run.

  Attributes:
    name: of its folder.
    folder: path.
    stages: in order.
    state: as its file has it.
    cost: of training.
    forecast: whether its results are forecast before it starts.
    after: those that it starts from, and which are trained first.
    began: when the running stage did, by time.monotonic.
    not_before: when the next may start, so too.
    held_by: who else is at its folder; '': nobody.
    unseen: why the backend could not tell how it is; '': it could.
    share_before: of its training, when its stage began.
    before: FLOPs and seconds of its training under this sweep, until then.
  """

  name: str
  folder: str
  stages: list[Stage]
  state: State
  cost: Cost
  forecast: bool = False
  after: Sequence['Entry'] = ()
  began: float = 0.0
  not_before: float = 0.0
  held_by: str = ''
  unseen: str = ''
  share_before: float = 0.0
  before: tuple[float, float] = (0.0, 0.0)

  @property
  def stage(self) -> Stage | None:
    """The one that runs or is next; None: all are done."""
    left = [x for x in self.stages if x.name not in self.state.done]
    return left[0] if left else None

  @property
  def is_running(self) -> bool:
    """Whether a job of it has not been seen to end."""
    return bool(self.state.job)

  @property
  def is_over(self) -> bool:
    """Whether nothing more is to be started of it."""
    return bool(self.state.failed) or self.stage is None

  def awaited(self) -> list['Entry']:
    """Of those that it starts from, which are not trained."""
    if TRAIN in self.state.done:
      return []
    return [each for each in self.after if TRAIN not in each.state.done]

  def look(self) -> None:
    """Notes what is done and was not noted: a sweep was killed in between."""
    news = [
      stage.name
      for stage in self.stages
      if stage.name not in self.state.done and stage.is_done()
    ]
    if news:
      self.state.done |= dict.fromkeys(news, 0.0)
      self.state.failed = ''
      self.note()

  def note(self) -> None:
    """Writes its state."""
    self.state.write(self.folder)

  def starts(self) -> int:
    """Notes that its next stage is about to start; the number of this start."""
    self.state.attempts += 1
    files.make_folder(self.folder, '--workdir', stores_too=True)
    self.note()
    return self.state.attempts

  def runs(self, job: Job) -> None:
    """Notes what the backend knows the stage by."""
    self.began, self.share_before = time.monotonic(), self.share()
    self.state.job = job
    self.note()

  def fails(self, why: str) -> None:
    """Notes that nothing more is to be started of it."""
    self.state.failed = why
    # One that never started has none.
    files.make_folder(self.folder, '--workdir', stores_too=True)
    self.note()

  def ended(
    self, end: End, *, max_restarts: int, stopping: bool, elsewhere: bool
  ) -> str:
    """Notes how the job ended, and what becomes of the run.

    Args:
      end: of its job.
      max_restarts: of a stage.
      stopping: whether it was told to stop: then it is not its fault.
      elsewhere: whether a launcher has started it again as often as it may, so
        that one that saved and stopped was ended by somebody.

    Returns:
      What there is to tell.
    """
    stage, state = self.stage, self.state
    self.before, state.job = self.trained(), {}
    took = time.monotonic() - self.began
    verdict = policy.verdict(
      [(0, end.code)],
      restarts=state.restarts,
      max_restarts=0 if elsewhere else max_restarts,
    )
    if stage.is_done():
      state.done[stage.name], state.restarts = took, 0
      said = f'{stage.name} is done'
    elif verdict.is_done:
      state.failed = (
        f'{stage.name} ended with 0, but left no result in {stage.folder}'
      )
      said = f'failed: {state.failed}'
    elif verdict.again and elsewhere:
      state.failed = f'{stage.name}: somebody stopped it'
      said = f'failed: {state.failed}'
    elif verdict.again or (stopping and end.code not in policy.HOPELESS):
      counts = verdict.counts and not stopping
      state.restarts += counts
      self.not_before = time.monotonic() + policy.pause(
        state.restarts if counts else 0
      )
      said = f'{stage.name}: {verdict.why}'
    else:
      last = command.without_hint(end.said).strip(' .')
      state.failed = f'{stage.name}: {last or verdict.why}'
      if end.code not in policy.HOPELESS:
        state.failed = f'{stage.name}: {verdict.why}: {last}'
      said = f'failed: {state.failed}'
    self.note()
    return said

  def logged(self) -> dict[str, float]:
    """What the present stage, or the last, has logged last; see `logged`."""
    return logged(self.stage or self.stages[-1])

  def trained(self) -> tuple[float, float]:
    """FLOPs and seconds of its training since this sweep was started."""
    flops, took = self.before
    if self.is_running and self.stage == self.stages[0]:
      flops += self.cost.flops * (self.share() - self.share_before)
      took += time.monotonic() - self.began
    return flops, took

  def readouts_left(self) -> list[Stage]:
    """Those that are not done."""
    return [x for x in self.stages[1:] if x.name not in self.state.done]

  def share(self) -> float:
    """How much of its training is done, of 1."""
    if TRAIN in self.state.done:
      return 1.0
    step = logged(self.stages[0]).get('step', 0)
    return min(1.0, step / self.stages[0].steps)


def logged(stage: Stage) -> dict[str, float]:
  """The last value of each scalar of a stage's log; of a long one, its end."""
  path = f'{stage.folder}/metrics.jsonl'
  if not files.exists(path):
    return {}
  if files.is_local(path):
    with open(path, 'rb') as file:
      file.seek(0, 2)
      file.seek(max(0, file.tell() - _TAIL))
      text = file.read()
  else:
    text = files.read_bytes(path)[-_TAIL:]
  # Of a run that writes just now the last line may be a part; of a long log
  # the first is.
  lines = text.split(b'\n')[:-1]
  found: dict[str, float] = {}
  for line in lines:
    with contextlib.suppress(ValueError):
      values = jsons.parse(line)
      found |= values if isinstance(values, dict) else {}
  return found


def of(
  name: str,
  folder: str,
  stages: list[Stage],
  item: Item,
  cost: Cost,
  after: Sequence[Entry] = (),
) -> Entry:
  """The entry of a run, as its folder has it.

  Raises:
    ValueError: its state is damaged.
  """
  state = state_lib.read(folder) or state_lib.fresh(item)
  return Entry(name, folder, stages, state, cost, item.forecast, after)
