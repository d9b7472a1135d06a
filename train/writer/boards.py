"""TensorBoard and Weights & Biases: each step once, however often a run starts.

A killed run has shown steps behind its last checkpoint, which it runs again.
Called in the writer's thread only: all of it is slow.
"""

import itertools
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from etils import epath

from base import files
from train.writer import record


class TensorBoard:
  """Events of one start, in a file of their own."""

  def __init__(self, folder: str, before: Sequence[str], *, start: int):
    """Opens it; what earlier starts wrote behind step `start` goes.

    Args:
      folder: of this machine.
      before: paths of earlier starts' files, in order.
      start: step after which the run goes on.
    """
    # TensorFlow only writes files here: it need not talk about its kernels.
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
    from clu import metric_writers
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer import event_file_writer

    # From the last one: what is behind an earlier start went at that start.
    for path in reversed(before):
      if not _drop_after(path, start):
        break
    # A TensorBoard that has read them forgets them. The next file, which clu
    # opens, is read after this one.
    first = event_file_writer.EventFileWriter(folder)
    log = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    first.add_event(
      event_pb2.Event(wall_time=time.time(), step=start + 1, session_log=log)
    )
    first.close()
    self._writer = metric_writers.SummaryWriter(folder)

  def scalars(self, step: int, values: Mapping[str, float | int]) -> None:
    """Writes them."""
    self._writer.write_scalars(step, values)

  def pictures(self, step: int, sheets: Mapping[str, np.ndarray]) -> None:
    """Writes pictures uint8 [h w 3]."""
    self._writer.write_images(step, {k: v[None] for k, v in sheets.items()})

  def flush(self) -> None:
    """Returns when all is in the file."""
    self._writer.flush()

  def close(self) -> None:
    """Ends the file."""
    self._writer.close()


def _drop_after(path: str, step: int) -> bool:
  """Keeps the events up to a step; whether an earlier file may have later ones.

  The readers of TensorBoard differ in what they forget at a start: its
  EventAccumulator keeps TensorFlow 2's scalars.
  """
  import tensorflow as tf
  from tensorboard.backend.event_processing import event_file_loader
  from tensorboard.compat.proto import event_pb2

  events = [
    (event_pb2.Event.FromString(raw), raw)
    for raw in event_file_loader.RawEventFileLoader(path).Load()
  ]
  kept = [raw for event, raw in events if event.step <= step]
  if len(kept) < len(events):
    with (
      files.replacing(path) as draft,
      tf.io.TFRecordWriter(os.fspath(draft)) as out,
    ):
      for raw in kept:
        out.write(raw)
    return True
  return not any(event.HasField('summary') for event, _ in events)


class WeightsAndBiases:
  """One run of theirs for a folder.

  A run of theirs takes no step twice. Offline each start writes it whole, from
  `metrics.jsonl` and the pictures, in place of what earlier ones wrote. Online
  it is given what it lacks, and nothing that it has.
  """

  def __init__(
    self,
    folder: str,
    workdir: epath.Path,
    *,
    mode: str,
    project: str,
    group: str,
    config: Mapping[str, Any],
  ):
    """Opens the run, and shows what the folder has so far.

    Args:
      folder: of this machine, with metrics.jsonl.
      workdir: the run's folder.
      mode: 'offline' or 'online'.
      project: where it appears.
      group: of runs that are shown together; '': none.
      config: resolved.
    """
    import wandb

    name = _id_of(workdir)
    before = [
      each
      for each in files.names(workdir / 'wandb')
      if each.startswith('offline-run-') and each.endswith(f'-{name}')
    ]
    self._run = wandb.init(
      mode=mode,
      project=project,
      group=group or None,
      dir=folder,
      name=workdir.name,
      id=name,
      resume='allow' if mode == 'online' else None,
      config=dict(config),
      allow_val_change=True,
    )
    self._first = self._run.step  # behind the last that it has
    by_step = itertools.groupby(
      record.lines(os.path.join(folder, 'metrics.jsonl')), lambda pair: pair[0]
    )
    for step, pairs in by_step:
      for _, values in pairs:
        self.scalars(step, values)
      self.pictures(step, _pictures_of(workdir, step))
    if mode == 'offline':
      for each in before:
        files.remove_folder(workdir / 'wandb' / each)

  def scalars(self, step: int, values: Mapping[str, float | int]) -> None:
    """Writes them, if the run does not have this step."""
    if step >= self._first:
      self._run.log(dict(values), step=step)

  def pictures(self, step: int, sheets: Mapping[str, np.ndarray]) -> None:
    """Writes pictures uint8 [h w 3], if the run does not have this step."""
    import wandb

    if step >= self._first and sheets:
      images = {name: wandb.Image(sheet) for name, sheet in sheets.items()}
      self._run.log(images, step=step)

  def flush(self) -> None:
    """Nothing: a process of theirs writes."""

  def close(self) -> None:
    """Ends the run."""
    self._run.finish()


def _id_of(workdir: epath.Path) -> str:
  """One W&B run per workdir, however often it starts again."""
  path = workdir / 'wandb_id.txt'
  if not files.exists(path):
    files.write(path, os.urandom(4).hex())
  return files.read_bytes(path).decode()


def _pictures_of(workdir: epath.Path, step: int) -> dict[str, np.ndarray]:
  """The pictures uint8 [h w 3] that the folder has of a step, by name."""
  folder = workdir / 'pictures' / str(step)
  found = {}
  for name in files.names(folder):
    encoded = np.frombuffer(files.read_bytes(folder / name), np.uint8)
    found[name.removesuffix('.png')] = cv2.imdecode(encoded, 1)[..., ::-1]
  return found
