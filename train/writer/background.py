"""Writes the scalars and pictures of a run where a person watches them.

Which there are, others decide: a new scalar is logged by `train/step.py`, if
it is of the model, or `train/progress.py`, if it is of the machine. Everything
slow (TensorBoard, W&B, files) happens in one background thread, in order;
importing TensorFlow for clu's summary writer too, so that no step waits for it,
and not before the first scalars, since tracing the step would. Where the run's
folder is in an object store, files that grow are written on this machine, and
brought there by that thread.
"""

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import jax
import numpy as np

from base import files, mirror
from base.console import say
from data import contact_sheet
from train.writer import boards, record


class Writer:
  """Scalars and pictures of one run, on the first process only.

  `metrics.jsonl` is the record of truth: one JSON object per written step.

  Attributes:
    left: what it had, in the first process.
  """

  def __init__(
    self,
    workdir: str,
    *,
    start: int,
    attempt: int,
    config: Mapping[str, Any],
    every: int,
    tensorboard: bool,
    wandb: str,
    wandb_project: str,
    wandb_group: str,
  ):
    """Opens the logs of a run that begins or goes on at step `start`.

    Args:
      workdir: the run's folder.
      start: what a killed run may have left of later steps goes.
      attempt: how often the run was started; in every line, so that what
        watches for jumps does not compare two of them.
      config: resolved config, for W&B's page.
      every: steps between scalars.
      tensorboard: whether to write TensorBoard events, by clu.
      wandb: 'disabled', 'offline' (no network or account needed) or 'online'.
      wandb_project: where an online run appears.
      wandb_group: of runs that are shown together; '': none.

    Raises:
      ValueError: an unknown W&B mode, or `every` below 1.
    """
    modes = ('disabled', 'offline', 'online')
    if wandb not in modes:
      raise ValueError(f'log.wandb={wandb!r} must be one of {modes}')
    if every < 1:
      raise ValueError(f'log.every={every} must be at least 1')
    self.every = every
    self._attempt = attempt
    self._workdir = files.path(workdir)
    self._is_first = jax.process_index() == 0
    self._thread = ThreadPoolExecutor(1, 'metrics')
    self._pending, self._boards = [], []
    self._unopened: list[Callable[[], Any]] = []
    self._adding = threading.Lock()
    self._mirror = mirror.Mirror(workdir)
    self.left = record.Left()
    if not self._is_first:
      return
    path = self._mirror.fetch('metrics.jsonl')
    self.left = record.drop_after(path, start)
    record.drop_after(self._mirror.fetch('skipped.jsonl'), start)
    self._jsonl = open(path, 'a')  # noqa: SIM115
    if tensorboard:
      self._unopened.append(lambda: self._tensorboard(start))
    if wandb != 'disabled':
      self._unopened.append(
        lambda: boards.WeightsAndBiases(
          self._mirror.folder,
          self._workdir,
          mode=wandb,
          project=wandb_project,
          group=wandb_group,
          config=config,
        )
      )

  def _tensorboard(self, start):
    before = [
      self._mirror.fetch(name)
      for name in files.names(self._workdir)
      if name.startswith('events.out.tfevents')
    ]
    return boards.TensorBoard(self._mirror.folder, before, start=start)

  def _opened(self):
    """In the thread: boards, which are opened when there is something to show.

    What is in `metrics.jsonl` by then, one of W&B takes from there.
    """
    while self._unopened:
      self._boards.append(self._unopened.pop(0)())
    return self._boards

  def _submit(self, function, *args):
    with self._adding:  # what cannot be read is told by another thread
      self._pending = [task for task in self._pending if not _finished(task)]
      self._pending.append(self._thread.submit(self._try, function, *args))

  def _try(self, function, *args):
    """In the thread: a full disk is told with the folder it is of."""
    try:
      function(*args)
      if self._mirror.due():
        self._bring()
    except OSError as error:
      if error.errno in files.FULL:
        raise files.full(self._workdir) from error
      raise

  def soon(self, function, *args) -> None:
    """Calls it in the background thread; what goes wrong there is raised."""
    self._submit(function, *args)

  def bring(self) -> None:
    """Has files that grow brought to an object store: with each checkpoint.

    To be called when its arrays are copied: they take longer to be written.
    What a kill takes is then after the last checkpoint, and written again.
    """
    if self._mirror.is_needed:
      self._submit(self._bring)

  def _bring(self):
    for board in self._boards:
      board.flush()
    try:
      self._mirror.bring()
    except OSError as error:
      if error.errno in files.FULL:
        raise
      # It may be reached again later; at the end it must be.
      say(f'logs are not brought to {self._workdir} yet: {error}')

  def scalars(
    self,
    step: int,
    values: Mapping[str, float],
    samples: Callable[[], str] | None = None,
  ) -> None:
    """Writes one line of scalars.

    Args:
      step: of them.
      values: by name.
      samples: gives SAMPLES of the line. Called in the thread, in every
        process, since the first may have to wait there for what others say.
    """
    if self._is_first:
      values = {'run/attempt': self._attempt, **values}
      self._submit(self._write_scalars, step, values, samples)
    elif samples:
      self._submit(samples)

  def _write_scalars(self, step, values, samples):
    line = {'step': step, **values}
    if samples:
      line[record.SAMPLES] = samples()
    opened = self._opened()
    self._jsonl.write(json.dumps(line) + '\n')
    self._jsonl.flush()
    for board in opened:
      board.scalars(step, values)

  def pictures(self, step: int, clips: Mapping[str, np.ndarray]) -> None:
    """Writes clips [b t h w 3] in [0, 1] as pictures: a row for each clip."""
    if self._is_first:
      sheets = {name: contact_sheet.plain(clip) for name, clip in clips.items()}
      self._submit(self._write_pictures, step, sheets)

  def _write_pictures(self, step, sheets):
    opened = self._opened()
    folder = self._workdir / 'pictures' / str(step)
    for name, sheet in sheets.items():
      _, encoded = cv2.imencode('.png', sheet[..., ::-1])
      files.make_parents(folder / f'{name}.png')
      files.write(folder / f'{name}.png', encoded.tobytes())
    for board in opened:
      board.pictures(step, sheets)

  def skipped(self, report: Mapping[str, Any]) -> None:
    """Lists a step whose update was left out."""
    if self._is_first:
      self._submit(self._write_skipped, json.dumps(report))

  def _write_skipped(self, line):
    with open(self._mirror.fetch('skipped.jsonl'), 'a') as file:
      file.write(f'{line}\n')

  def quarantine(self, report: Mapping[str, Any]) -> None:
    """Lists a record that could not be read; each process has its file."""
    suffix = f'-{jax.process_index()}' if jax.process_count() > 1 else ''
    print(f'refused: {dict(report)}', flush=True)
    with open(self._mirror.fetch(f'quarantine{suffix}.jsonl'), 'a') as file:
      file.write(json.dumps(report) + '\n')
    if self._mirror.due():
      self.bring()

  def before_save(self) -> None:
    """Returns when what was logged so far will be there as the checkpoint is.

    A run goes on behind the checkpoint, and logs no step of before it again. In
    an object store logs are brought with it, see `bring`.
    """
    if not self._mirror.is_needed:
      self.flush()

  def flush(self) -> None:
    """Returns when everything is on disk; raises what went wrong."""
    for task in self._pending:
      task.result()
    self._pending = []
    for board in self._boards:
      board.flush()

  def __enter__(self) -> 'Writer':
    return self

  def __exit__(self, *unused) -> None:
    self._thread.shutdown()
    try:
      self.flush()
      for board in self._boards:
        board.close()
    finally:
      if self._is_first:
        self._jsonl.close()
      self._mirror.close()


def _finished(task) -> bool:
  """Whether a background task is done; raises its error here if it failed."""
  if task.done():
    task.result()
  return task.done()
