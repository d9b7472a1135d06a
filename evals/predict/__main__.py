r"""Draws the predictions of a finished readout job on any video.

    python -m evals.predict --checkpoint=RUN --readout=OUT \
      --video=in.mp4 --out=out.mp4 [--task=depth] [--queries=FILE.json]

Depth is a map beside the video; points and boxes are drawn with trails; pose
and class are text. The video is seen in windows of the backbone's frames,
without overlap. Points and boxes start where FILE.json says,

    {"points": [[x, y], ...], "boxes": [[ymin, xmin, ymax, xmax], ...]}

in [0, 1] of the picture that the model sees, or on a grid. A head that carries
a state (head=moog) goes on with it, as a recurrent backbone does, so that the
windows do not show; for the others, where one was last in a window is where it
is looked for in the next. Where a readout of points is told frames
(query_frames), points may be [x, y, frame], of the frames that are seen.
out.json holds the numbers.
"""

from absl import flags

from base import command

_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', '', "A run's folder, to be sure that the readout is of it."
)
_READOUT = flags.DEFINE_string(
  'readout', None, "A finished job's folder (the --workdir of evals)."
)
_VIDEO = flags.DEFINE_string('video', None, 'Any file that FFmpeg reads.')
_OUT = flags.DEFINE_string('out', None, 'The mp4 to write.')
_QUERIES = flags.DEFINE_string(
  'queries', '', 'A JSON file of points and boxes; a grid if empty.'
)
_TASK = flags.DEFINE_string(
  'task', '', "Of the job's tasks, joined by '+'; all if empty."
)
_STRIDE = flags.DEFINE_integer('stride', 1, 'Every how many-th frame is seen.')
_CROP = flags.DEFINE_bool(
  'crop', True, 'See the middle of the picture; --nocrop squeezes it instead.'
)
_CACHE = command.compilation_cache()


def main() -> None:
  """Predicts; heavy imports wait until flags are right."""
  from evals.predict import run as predict_run
  from train import processes

  processes.up(_CACHE.value)
  predict_run.predict(
    readout=_READOUT.value,
    video=_VIDEO.value,
    out=_OUT.value,
    checkpoint=_CHECKPOINT.value,
    queries=_QUERIES.value,
    tasks=[name for name in _TASK.value.split('+') if name],
    stride=_STRIDE.value,
    crop=_CROP.value,
  )
  print(f'wrote {_OUT.value}')


if __name__ == '__main__':
  command.run(main, required=['readout', 'video', 'out'])
