r"""Writes the features of videos: dense, or pooled, of any depth and length.

    python -m evals.features --checkpoint=RUN --videos='DIR/**' --out=OUT \
      [--depths=0.5,0.95] [--pooled] [--dtype=float16] [--stride=2] [--nocrop]

DIR/a/b.mp4 becomes OUT/a/b.mp4.npz: for each depth an array `depth_0.95`
[steps tokens width] ([steps width] if pooled), and `frames`, the number of each
time step's first frame in the film. RUN may be `hf:FOLDER`, an encoder of
others: docs/encoders.md. A video is seen in windows of the backbone's frames,
without overlap; a recurrent backbone carries its state from one to the next.
What is there is not made again: the same command goes on. All on one device.
"""

from absl import flags

from base import command

_CHECKPOINT = flags.DEFINE_string(
  'checkpoint',
  None,
  "The pretraining run's folder (its --workdir), or hf:FOLDER.",
)
_STEP = flags.DEFINE_integer(
  'step', -1, "Of the run's checkpoints; -1: the last."
)
_VIDEOS = flags.DEFINE_string(
  'videos', None, 'A file, a folder, or a pattern in quotes.'
)
_OUT = flags.DEFINE_string('out', None, 'The folder to write.')
_DEPTHS = flags.DEFINE_list(
  'depths', ['0.95'], 'Of the features, from 0 (the tokens) to 1 (the last).'
)
_POOLED = flags.DEFINE_bool('pooled', False, 'The mean of each time step.')
_DTYPE = flags.DEFINE_enum(
  'dtype', 'float32', ('float16', 'float32'), 'Of what is written.'
)
_STRIDE = flags.DEFINE_integer('stride', 1, 'Every how many-th frame is seen.')
_CROP = flags.DEFINE_bool(
  'crop', True, 'See the middle of the picture; --nocrop squeezes it instead.'
)
_BATCH = flags.DEFINE_integer(
  'batch_size', 8, 'Windows at once.', lower_bound=1
)
_CACHE = command.compilation_cache()


def main() -> None:
  """Writes; heavy imports wait until flags are right."""
  from base.console import say
  from configs import mae
  from evals import encoders
  from evals.features import videos
  from train import processes

  try:
    depths = tuple(float(depth) for depth in _DEPTHS.value)
  except ValueError:
    raise ValueError(
      f'--depths={",".join(_DEPTHS.value)}: expected numbers from 0 to 1, with '
      'commas between them'
    ) from None
  options = videos.Options(
    depths=depths,
    pooled=_POOLED.value,
    stride=_STRIDE.value,
    crop=_CROP.value,
    dtype=_DTYPE.value,
  )
  processes.up(_CACHE.value)
  say(f'features of {_CHECKPOINT.value}')
  videos.write(
    checkpoint=encoders.run_of(
      _CHECKPOINT.value, pretraining=mae.get_config().to_dict()
    ),
    videos=_VIDEOS.value,
    out=_OUT.value,
    step=_STEP.value,
    batch_size=_BATCH.value,
    options=options,
  )


if __name__ == '__main__':
  command.run(main, required=['checkpoint', 'videos', 'out'])
