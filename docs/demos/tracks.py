r"""Points and boxes followed through a video by MooG.

    python -m docs.demos.tracks --video=in.mp4 --out=tracks.mp4 [--weights=...]

`--weights` is the folder of the three published files, or that of a finished
readout job with points or boxes of a model of ours, such as that which
`make quickstart` leaves (the default where the published files are not here).
"""

import os

import numpy as np
from absl import flags

from base import command

BACKBONE = 'moog_ego4d_backbone_ckpt_164335139.npz'
HEADS = {
  'points': 'moog_ego4d_point_track_head_ckpt_164335139.npz',
  'boxes': 'moog_ego4d_box_track_head_ckpt_164335139.npz',
}
# The record key that a head's queries are in.
KEYS = {'points': 'tracks', 'boxes': 'boxes'}
SIZE = 256, 256  # pixels, of the published model
OURS = 'runs/quickstart/readouts/all'


def draw(
  weights: str, video: str, out: str, *, size: tuple[int, int] = SIZE
) -> None:
  """Writes `out`, an mp4: a grid of points and boxes, with their trails.

  The state of the model goes from one window to the next; so do the queries:
  where one was last is where it is looked for next.

  Args:
    weights: a folder, see above.
    video: a file of any length.
    out: an mp4.
    size: height and width that the published model sees, pixels.
  """
  from evals import windows
  from evals.predict import checks, queries
  from evals.predict import run as predict_run
  from evals.predict import video as predict_video
  from evals.predict import views as views_lib
  from evals.tasks.points import Tracks
  from models import published

  if os.path.exists(os.path.join(weights, 'config.json')):
    has = checks.finished(weights)[1]
    # Of a job with neither, the error says what it has.
    tasks = [task for task in HEADS if task in has] or list(HEADS)
    predict_run.predict(readout=weights, video=video, out=out, tasks=tasks)
    return
  backbone = published.load(os.path.join(weights, BACKBONE))
  heads = {
    task: published.load(os.path.join(weights, name))
    for task, name in HEADS.items()
  }
  frames = heads['points'].layout.sizes['head']['frames']
  asked = queries.grid()
  views = {
    task: views_lib.make(task, asked, predict_video.zoom_of(*size))
    for task in HEADS
  }
  state = None

  def drawn(window):
    nonlocal state
    seen = backbone(window.clip[None], state=state)
    state, picture = seen['state'], window.picture
    for task, view in views.items():
      query = view.asked(frames)[KEYS[task]]
      answer = heads[task](seen['features'], query[None, :, 0])
      answer = {
        key: np.asarray(x)[0].swapaxes(0, 1)
        for key, x in answer.items()
        if x is not None
      }
      if task == 'points':
        logits = (answer[f'logits_{x}'] for x in ('visible', 'certainty'))
        said = Tracks(answer['values'], *(x[..., 0] for x in logits))
      else:
        said = answer['values']
      picture = view.draw(said, picture, window.count).picture
    return picture

  with windows.opened(video, stride=1, crop=True) as film:
    predict_video.redraw(film, (frames, *size), drawn, out)


def weights_here() -> str:
  """What there is to draw with, where `--weights` does not say.

  Raises:
    ValueError: nothing.
  """
  if os.path.exists(BACKBONE):
    return '.'
  if not os.path.isdir(OURS):
    raise ValueError(
      f'--weights: neither {BACKBONE} nor {OURS} is here; fetch the first '
      '(docs/published.md) or make the other: `make quickstart`'
    )
  return OURS


def main() -> None:
  """Draws."""
  draw(WEIGHTS.value or weights_here(), VIDEO.value, OUT.value)
  print(f'wrote {OUT.value}')


if __name__ == '__main__':
  WEIGHTS = flags.DEFINE_string('weights', '', 'A folder.')
  VIDEO = flags.DEFINE_string('video', None, 'Any file that FFmpeg reads.')
  OUT = flags.DEFINE_string('out', 'tracks.mp4', 'The mp4 to write.')
  command.run(main, required=['video'])
