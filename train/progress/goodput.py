"""The bill of a run: where its wall time went, over all of its starts.

In the buckets of ml-goodput-measurement 0.2.3 (`BadputType` and `GoodputType`),
whose library keeps its record in Google Cloud Logging alone; this one is a
file. Of the first process, which waits for the others at each step.
"""

import dataclasses
import json
import threading
from collections.abc import Callable
from typing import Any

import jax
from etils import epath

from base import console, files, jsons
from base.console import duration, say
from train.progress.clock import Clock

# Bucket -> (what it is, parts of `Clock` and of this file).
BUCKETS = {
  'TOTAL': ('stepping', ('step',)),
  'TPU_INITIALIZATION': (
    'imports, devices, other processes',
    ('imports', 'join'),
  ),
  'TRAINING_PREP': (
    'data, model, cached features, state',
    ('data', 'model', 'features', 'state'),
  ),
  'PROGRAM_STARTUP': ('tracing, compiling', ('trace', 'compile', 'first_step')),
  'DATA_LOADING_SYNC': ('waiting for data', ('data_wait',)),
  'UNPRODUCTIVE_CHECKPOINT_SAVE_TIME': ('saving', ('save',)),
  'UNPRODUCTIVE_CHECKPOINT_RESTORE_TIME': ('restoring', ('proof', 'restore')),
  'CUSTOM_BADPUT_EVENTS': ('evaluating, health', ('evaluate', 'health')),
  'WASTED_PROGRESS_FROM_DISRUPTION': ('steps trained again', ('redone',)),
  'INFRASTRUCTURE_RECOVERY_FROM_DISRUPTION': ('between starts', ('idle',)),
}
_REMEDY = 'its sums begin anew'
_KIND = {
  **{'began': float, 'seen': float, 'starts': int, 'step': int},
  **{'redone': int, 'seconds': dict, 'last': {'steps': int, 'seconds': float}},
}
# Seconds between two times that it is written: what a kill hides of its start.
_EVERY = 10.0


@dataclasses.dataclass(frozen=True)
class Bill:
  """What a goodput.json holds.

  Attributes:
    began: the first start, in seconds since 1970.
    seen: when the run was last known to live, likewise.
    starts: of the run.
    step: up to which it is trained.
    redone: steps that were trained and lost, and so are trained again.
    seconds: by part; they add up to the time from `began` to `seen`.
    last: 'steps' of the last start, and 'seconds' of them.
  """

  began: float
  seen: float
  starts: int
  step: int
  redone: int
  seconds: dict[str, float]
  last: dict[str, Any]

  def buckets(self) -> dict[str, float]:
    """Seconds by bucket; what is of none is in OTHER."""
    found = {
      name: sum(self.seconds.get(part, 0.0) for part in parts)
      for name, (_, parts) in BUCKETS.items()
    }
    rest = sum(self.seconds.values()) - sum(found.values())
    return found | {'OTHER': max(0.0, rest)}

  def lines(self) -> list[dict[str, str]]:
    """Of a table, for people: buckets that hold anything."""
    buckets = self.buckets()
    whole = sum(buckets.values()) or 1.0
    return [
      {
        'bucket': name,
        'seconds': f'{seconds:.1f}',
        'share': f'{seconds / whole:.1%}',
        'what': BUCKETS[name][0] if name in BUCKETS else '',
      }
      for name, seconds in buckets.items()
      if seconds
    ]

  def __str__(self) -> str:
    buckets = self.buckets()
    whole = sum(buckets.values()) or 1.0
    return (
      f'goodput {buckets["TOTAL"] / whole:.1%} of {duration(whole)}: '
      f'{self.starts} start{"s" if self.starts > 1 else ""}, {self.step} '
      f'steps, {self.redone} of them trained again'
    )

  def step_seconds(self, count: int) -> float:
    """How long each of the last `count` steps took, in the mean."""
    steps, seconds = self.last['steps'], self.last['seconds']
    if steps < count:
      steps, seconds = self.step, self.seconds.get('step', 0.0)
    return seconds / steps if steps else 0.0


def read(workdir: epath.PathLike) -> Bill:
  """The bill of a run's folder.

  Raises:
    ValueError: it is damaged.
    FileNotFoundError: there is none.
  """
  path = files.path(workdir) / 'goodput.json'
  found = jsons.read(path, _KIND, _REMEDY)
  kinds = dict.fromkeys(found['seconds'], float)
  jsons.expect(found['seconds'], kinds, f'{path}: seconds', _REMEDY)
  names = [field.name for field in dataclasses.fields(Bill)]
  return Bill(**{name: found[name] for name in names})


class Goodput:
  """Keeps the bill of a run while it goes. A context manager.

  Inside it is written now and then, so that little of the time before a kill
  is taken for idle.
  """

  def __init__(self, workdir: str, clock: Clock):
    """Reads what earlier starts left; one that is damaged is said, and lost.

    Args:
      workdir: the run's folder.
      clock: of this process.
    """
    self._path = files.path(workdir) / 'goodput.json'
    self._clock = clock
    self._is_first = jax.process_index() == 0
    self._before = _found(workdir) if self._is_first else None
    self._sums = dict(self._before.seconds) if self._before else {}
    self._redone = self._before.redone if self._before else 0
    # Clocks of two machines may differ.
    gap = clock.began - self._before.seen if self._before else 0.0
    self._gap = max(0.0, gap)
    self._add('idle', self._gap)
    self._start: int | None = None
    self._done: Callable[[], int] = int
    self._writing, self._over = threading.Lock(), threading.Event()
    self._thread = threading.Thread(
      target=self._keep, name='goodput', daemon=True
    )

  def _add(self, part: str, seconds: float) -> None:
    self._sums[part] = self._sums.get(part, 0.0) + seconds

  def goes_on(self, start: int, logged: int, done: Callable[[], int]) -> None:
    """The steps begin.

    Args:
      start: step behind which.
      logged: the last one that the log had, which may be behind that.
      done: gives the last step that is done.
    """
    before = self._before
    if before:
      reached = max(before.step, logged)
      lost = max(0, reached - start)
      each = before.step_seconds(lost)
      # Of steps behind the last word of a killed start.
      late = min((reached - before.step) * each, self._gap)
      self._add('idle', -late)
      self._add('step', late)
      again = min(lost * each, self._sums['step'])
      self._add('step', -again)
      self._add('redone', again)
      self._redone += lost
    self._start, self._done = start, done
    self.write()

  def bill(self) -> Bill:
    """As of now."""
    clock = {'step': 0.0, 'first_step': 0.0} | self._clock.all()
    seen = self._clock.began + sum(clock.values())
    before = self._before
    step, last = before.step if before else 0, {'steps': 0, 'seconds': 0.0}
    if before and self._start is None:
      last = before.last
    if self._start is not None:
      step = max(self._start, self._done())
      steps = step - self._start
      # The first one is a step too; what it took longer is of compilation.
      if steps > 1:
        each = clock['step'] / (steps - 1)
        first = min(each, clock['first_step'])
        clock |= {
          'first_step': clock['first_step'] - first,
          'step': clock['step'] + first,
        }
      last = {'steps': steps, 'seconds': clock['step']}
    names = self._sums.keys() | clock.keys()
    return Bill(
      began=before.began if before else self._clock.began,
      seen=seen,
      starts=(before.starts if before else 0) + 1,
      step=step,
      redone=self._redone,
      seconds={
        name: self._sums.get(name, 0.0) + clock.get(name, 0.0)
        for name in sorted(names)
      },
      last=last,
    )

  def write(self) -> None:
    """Writes it, in the first process; also by another thread.

    Raises:
      OSError: it cannot be written.
    """
    if not self._is_first:
      return
    with self._writing:
      bill = self.bill()
      content = dataclasses.asdict(bill) | {'buckets': bill.buckets()}
      files.write(self._path, json.dumps(content, indent=2))

  def end(self) -> None:
    """Writes it a last time, and says it."""
    self._stop()
    self.write()
    bill = self.bill()
    say(f'{bill}\n{console.table(bill.lines())}')

  def _keep(self) -> None:
    """In the thread."""
    while not self._over.wait(_EVERY):
      try:
        self.write()
      except OSError as error:  # it may be possible later; at the end it must
        say(f'{self._path} is not written yet: {error}')

  def _stop(self) -> None:
    self._over.set()
    self._thread.join()

  def __enter__(self) -> 'Goodput':
    self.write()
    self._thread.start()
    return self

  def __exit__(self, *unused) -> None:
    self._stop()


def _found(workdir: str) -> Bill | None:
  try:
    return read(workdir)
  except FileNotFoundError:
    return None
  except ValueError as error:
    say(str(error))
    return None
