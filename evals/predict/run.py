"""The work of `evals.predict`: a finished job's readouts on any video.

windows of the video -> backbone -> heads -> views -> OUT.mp4, OUT.json
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from base import files
from base.console import say
from data.source import BadRecord
from evals import is_readout
from evals import job as job_lib
from evals import result as result_lib
from evals.job import Job
from evals.predict import draw as predict_draw
from evals.predict import queries as predict_queries
from evals.predict import video as predict_video
from evals.predict.model import Answers, Views, carrying
from evals.predict.video import Film, Window
from evals.resolve import read_config
from models import objective as objective_lib
from train import workdir
from train.checkpoint import find, saved_at, steps

_EVERY = 5.0  # seconds between lines of progress
_LOST = 0.5  # seconds at the start that are worth a word


def predict(
  *,
  readout: str,
  video: str,
  out: str,
  checkpoint: str = '',
  queries: str = '',
  tasks: Sequence[str] = (),
  stride: int = 1,
  crop: bool = True,
) -> dict[str, Any]:
  """Draws what a job's readouts say of a video.

  Args:
    readout: folder of a finished job; it holds the backbone too.
    video: a file of any length.
    out: an mp4 to write; a .json of the same name is written beside it.
    checkpoint: folder of a run, to be sure that its backbone is the job's.
    queries: a file of points and boxes, see `predict_queries.read`; where it
      has none, a grid.
    tasks: of the job's; all if empty.
    stride: every how many-th frame is seen.
    crop: see the middle of the picture only; otherwise it is squeezed.

  Returns:
    What the JSON holds: `video`, `readout` and its `backbone`; `frames` that
    were drawn, at `frame_rate`, every `stride`-th of the film; the box of the
    film that is `seen`, in pixels; seconds `lost` at its start, which do not
    decode; why it `ended` before its end, if it did; and `windows`, each with
    the number of its first frame in the film, how many it has, and a record
    of each task, see `predict_draw`.

  Raises:
    ValueError: something is not what it should be.
  """
  if not out.endswith('.mp4') or os.path.abspath(out) == os.path.abspath(video):
    raise ValueError(f'--out={out} must be another file, and end with .mp4')
  job, heads = finished(readout)
  if checkpoint:
    check_backbone(job, readout, checkpoint)
  there = job.objective.tasks
  tasks = list(tasks or there)
  unknown = sorted(set(tasks) - there.keys())
  if unknown:
    raise ValueError(
      f'--task={"+".join(unknown)}: {readout} has the tasks {sorted(there)}'
    )
  asked = predict_queries.grid()
  if queries:
    asked |= predict_queries.read(queries, sorted(there))
  zoom = predict_video.zoom_of(*job.clip[1:])
  names = there['classify'].names if 'classify' in there else ()
  check_times(job, asked)
  carried = carrying(job)
  views = {
    name: predict_draw.make(name, asked, zoom, names, name in carried)
    for name in there
  }
  with predict_video.opened(video, stride=stride, crop=crop) as film:
    answers = Answers(job, readout, views)
    answers.choose({name: heads[name] for name in tasks})
    views = {name: views[name] for name in tasks}
    windows, ended = _draw(film, job.clip, answers, views, out)
    found = {
      'video': video,
      'readout': readout,
      'backbone': job.backbone,
      'frames': sum(window['frames'] for window in windows),
      'frame_rate': float(film.rate),
      'stride': stride,
      'seen': film.box._asdict(),
      'lost': round(film.lost, 3),
      'ended': ended,
      'windows': windows,
    }
  files.write(f'{out.removesuffix(".mp4")}.json', json.dumps(found))
  return found


def finished(readout: str) -> tuple[Job, dict[str, int]]:
  """A job of a folder, and which head of each task was chosen.

  Raises:
    ValueError: not a job, or one that is not finished, or a damaged file.
  """
  if not os.path.exists(os.path.join(readout, 'config.json')):
    raise ValueError(
      f'--readout={readout} is not a readout job: it has no config.json. Give '
      'the --workdir of a `python -m evals`'
    )
  config = workdir.read_config(readout)
  if not is_readout(config):
    raise ValueError(
      f'--readout={readout} is a pretraining run: train a readout of it with '
      f'`python -m evals --checkpoint={readout}`, and give its --workdir'
    )
  if not os.path.exists(os.path.join(readout, 'result.json')):
    raise ValueError(
      f'--readout={readout} is not finished: it has no result.json. Run its '
      'command again'
    )
  return job_lib.read(readout), result_lib.heads(readout)


def check_times(job: Job, asked: Mapping[str, np.ndarray]) -> None:
  """Whether points that are asked for in later frames can be.

  Raises:
    ValueError: the readout of points is told places only.
  """
  tasks = job.objective.tasks
  if 'points' not in tasks or asked['points'].shape[1] == 2:
    return
  if not tasks['points'].query_frames:
    raise ValueError(
      '--queries: points are [x, y, frame], but this readout of points is told '
      'no frame. Ask for [x, y] in frame 0, or train one with '
      'data.query_frame=-1 and --config.tasks.points.query_frames=true'
    )


def check_backbone(job: Job, readout: str, checkpoint: str) -> None:
  """Whether the job's backbone is from this run, or a copy of it.

  Raises:
    ValueError: `checkpoint` is no run, or its model or its parameters are not
      the job's.
  """
  model = objective_lib.for_readouts(**read_config(checkpoint)['model'])
  theirs = workdir.flatten(model)
  ours = workdir.flatten(job.train['model'])
  other = [
    f'{key}: {theirs.get(key, "absent")} there, {ours.get(key, "absent")} here'
    for key in sorted(theirs.keys() | ours.keys())
    if theirs.get(key) != ours.get(key)
  ]
  other = other or _other_weights(job.backbone, checkpoint)
  if other:
    raise ValueError(
      f'--checkpoint={checkpoint} is of another backbone than '
      f'--readout={readout} ({"; ".join(other[:5])}): its own is that of '
      f'{job.backbone["run"]}'
    )


def _other_weights(backbone: Mapping[str, Any], checkpoint: str) -> list[str]:
  """In what a run's parameters are not the job's, as far as can be told."""
  step, there = backbone['step'], steps(checkpoint)
  # A job of before `saved` was written down has none.
  if 'saved' in backbone and step in there:
    saved = saved_at(find(checkpoint, step)[0])
    if saved == backbone['saved']:
      return []
    return [
      f'step {step} was saved at {saved} ns there, {backbone["saved"]} ns here'
    ]
  run = os.path.realpath(checkpoint)
  if run != os.path.realpath(backbone['run']):
    return [f'run: {run} there, {backbone["run"]} here']
  # The run may have deleted it, but not have stopped before it.
  if step is not None and step > max(there, default=step):
    return [f'step: at most {max(there)} there, {step} here']
  return []


def _draw(
  film: Film,
  shape: tuple[int, int, int],
  answers: Answers,
  views: Views,
  out: str,
) -> tuple[list[dict[str, Any]], str]:
  """Writes `out`; records of windows, and why the video ended too early."""
  windows, ended, progress = [], '', _Progress(film.total)
  with predict_video.Writer(out, film.rate) as writer:
    try:
      for window in film.windows(*shape):
        asked = {}
        for view in views.values():
          asked |= view.asked(shape[0])
        drawn, records = _drawn(answers(window.clip, asked), views, window)
        writer.add(drawn)
        windows.append(
          {'start': window.start, 'frames': window.count, **records}
        )
        progress.add(window.count)
    except BadRecord as error:
      if not windows:
        raise ValueError(f'{film.name}: {error}') from error
      ended = str(error)
      say(f'{film.name}: {error}: the prediction ends here')
  progress.say()
  if film.lost > _LOST:
    say(f'{film.name}: its first {film.lost:.1f} s do not decode')
  return windows, ended


def _drawn(
  answers: Mapping[str, Any], views: Views, window: Window
) -> tuple[np.ndarray, dict[str, Any]]:
  """The window's frames with all that is drawn, and each task's record."""
  picture, panels, lines, records = window.picture, [], [], {}
  for name, view in views.items():
    drawn = view.draw(answers[name], picture, window.count)
    picture = drawn.picture
    panels += [] if drawn.panel is None else [drawn.panel]
    lines += [drawn.line] if drawn.line else []
    records[name] = drawn.record
  clip = np.concatenate([picture, *panels], axis=2)[: window.count]
  return predict_video.captioned(clip, lines), records


class _Progress:
  """Lines of how far it is, and how fast since the line before."""

  def __init__(self, total: int):
    self._total, self._done = total, 0
    self._said, self._then = 0, time.monotonic()

  def add(self, frames: int) -> None:
    self._done += frames
    if time.monotonic() - self._then > _EVERY:
      self.say()

  def say(self) -> None:
    now = time.monotonic()
    rate = (self._done - self._said) / max(now - self._then, 1e-6)
    # A file tells about how many it has.
    total = f' of {max(self._total, self._done)}' if self._total else ''
    if self._done > self._said:
      say(f'frame {self._done}{total}', f'{rate:.1f} frames/s')
    self._said, self._then = self._done, now
