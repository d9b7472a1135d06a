"""The work of `evals.predict`: a finished job's readouts on any video.

windows of the video -> backbone -> heads -> views -> OUT.mp4, OUT.json
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from base import files
from evals import windows as windows_lib
from evals.predict import checks
from evals.predict import queries as predict_queries
from evals.predict import video as predict_video
from evals.predict import views as views_lib
from evals.predict.model import Answers, Views, carrying
from evals.windows import Window


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
    queries: a file of points and boxes, see `evals.predict.queries.read`;
      where it has none, a grid.
    tasks: of the job's; all if empty.
    stride: every how many-th frame is seen.
    crop: see the middle of the picture only; otherwise it is squeezed.

  Returns:
    What the JSON holds: `video`, `readout` and its `backbone`; `frames` that
    were drawn, at `frame_rate`, every `stride`-th of the film; the box of the
    film that is `seen`, in pixels; `gaps`, each [at, seconds] of the film that
    does not decode and is left out; and `windows`, each with the number of its
    first frame in the film, how many it has, and a record of each task, see
    `evals.predict.views`.

  Raises:
    ValueError: something is not what it should be.
  """
  if not out.endswith('.mp4') or files.path(out) == files.path(video):
    raise ValueError(f'--out={out} must be another file, and end with .mp4')
  job, heads = checks.finished(readout)
  if checkpoint:
    checks.check_backbone(job, readout, checkpoint)
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
  checks.check_times(job, asked)
  carried = carrying(job)
  views = {
    name: views_lib.make(name, asked, zoom, names, name in carried)
    for name in there
  }
  with windows_lib.opened(video, stride=stride, crop=crop) as film:
    answers = Answers(job, readout, views)
    answers.choose({name: heads[name] for name in tasks})
    views = {name: views[name] for name in tasks}
    windows = []

    def draw(window):
      asked = {}
      for view in views.values():
        asked |= view.asked(job.clip[0])
      drawn, records = _drawn(answers(window.clip, asked), views, window)
      windows.append({'start': window.start, 'frames': window.count, **records})
      return drawn

    predict_video.redraw(film, job.clip, draw, out)
    found = {
      'video': video,
      'readout': readout,
      'backbone': job.backbone,
      'frames': sum(window['frames'] for window in windows),
      'frame_rate': float(film.rate),
      'stride': stride,
      'seen': film.box._asdict(),
      'gaps': [[gap.begin, gap.seconds] for gap in film.told.gaps],
      'windows': windows,
    }
  files.write(f'{out.removesuffix(".mp4")}.json', json.dumps(found))
  return found


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
  clip = np.concatenate([picture, *panels], axis=2)
  return predict_video.captioned(clip, lines), records
