r"""Depth of a video, beside it.

    python -m docs.demos.depth --video=in.mp4 --out=depth.mp4 [--weights=...]

`--weights` is the published file (scaling4d_dist_b_depth.npz, where it is here)
or a finished depth readout of a model of ours, such as the quickstart's.
"""

import os

import numpy as np
from absl import flags

from base import command

PUBLISHED = 'scaling4d_dist_b_depth.npz'
OURS = 'runs/quickstart/readouts/depth'


def draw(weights: str, video: str, out: str, **options) -> None:
  """Writes `out`, an mp4: the video and its depth, near is bright.

  Args:
    weights: a published file with a depth head, or the folder of a readout job.
    video: a file of any length.
    out: an mp4.
    **options: of `published.load`.
  """
  from evals.predict import draw as predict_draw
  from evals.predict import run as predict_run
  from evals.predict import video as predict_video
  from models import published

  if os.path.isdir(weights):
    predict_run.predict(readout=weights, video=video, out=out)
    return
  model = published.load(weights, **options)
  frames, height, width = model.clip
  view = predict_draw.Depth(predict_video.zoom_of(height, width))
  with (
    predict_video.opened(video, stride=1, crop=True) as film,
    predict_video.Writer(out, film.rate) as writer,
  ):
    for window in film.windows(frames, height, width):
      depth = np.asarray(model(window.clip[None])[0])
      drawn = view.draw(depth, window.picture, window.count)
      pair = np.concatenate([drawn.picture, drawn.panel], axis=2)
      writer.add(pair[: window.count])


def main() -> None:
  """Draws."""
  weights = WEIGHTS.value or (PUBLISHED if os.path.exists(PUBLISHED) else OURS)
  draw(weights, VIDEO.value, OUT.value)


if __name__ == '__main__':
  WEIGHTS = flags.DEFINE_string('weights', '', 'A file, or a folder.')
  VIDEO = flags.DEFINE_string('video', None, 'Any file that FFmpeg reads.')
  OUT = flags.DEFINE_string('out', 'depth.mp4', 'The mp4 to write.')
  command.run(main, required=['video'])
