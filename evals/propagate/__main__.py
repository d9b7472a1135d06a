r"""Carries the labels of a first frame on by features alone: no training.

    python -m evals.propagate --checkpoint=RUN --data=world --out=OUT
    python -m evals.propagate --checkpoint=RUN --data=davis --path=DAVIS \
      --out=OUT [--context=7] [--neighbourhood=12] [--topk=5] \
      [--temperature=0.1] [--depth=0.95] [--size=480x832] [--random_init]

Each place of a frame takes the labels of the places that are most like it, of
the first frame and of the last ones. Scores of each sequence, their means with
95% intervals, and those of labels that stay where they are, go to
OUT/result.json, and some sequences to OUT/pictures. The same command goes on
with the sequences that are not there. RUN may be `hf:FOLDER`, an encoder of
others: docs/encoders.md. On one device.
"""

import re

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
_DATA = flags.DEFINE_string('data', None, 'A benchmark: world or davis.')
_PATH = flags.DEFINE_string('path', '', 'Its folder, as published.')
_OUT = flags.DEFINE_string('out', None, 'The folder to write.')
_CONTEXT = flags.DEFINE_integer(
  'context', None, 'Frames looked at beside the first; as published, if none.'
)
_NEIGHBOURHOOD = flags.DEFINE_integer(
  'neighbourhood', None, 'Places around that are looked at; 0: all.'
)
_TOPK = flags.DEFINE_integer('topk', None, 'Places whose labels are taken.')
_TEMPERATURE = flags.DEFINE_float('temperature', None, 'Of the softmax.')
_DEPTH = flags.DEFINE_float(
  'depth', 0.95, 'Of the features, from 0 (the tokens) to 1 (the last).'
)
_SIZE = flags.DEFINE_string(
  'size', '', "HEIGHTxWIDTH of frames; if none the benchmark's, or the run's."
)
_RANDOM = flags.DEFINE_bool(
  'random_init', False, 'The backbone as it is before training.'
)
_SEQUENCES = flags.DEFINE_integer(
  'sequences', 0, 'The first of them alone; 0: all, of the world 32.'
)
_CACHE = command.compilation_cache()


def main() -> None:
  """Runs it; heavy imports wait until flags are right."""
  size = None
  if _SIZE.value:
    match = re.fullmatch(r'(\d{1,5})x(\d{1,5})', _SIZE.value)
    if not match:
      raise ValueError(
        f'--size={_SIZE.value} must be HEIGHTxWIDTH in pixels, such as 480x832'
      )
    size = int(match[1]), int(match[2])
  from configs import mae
  from evals import encoders
  from evals.propagate import run
  from train import processes

  processes.up(_CACHE.value)
  run.propagate(
    checkpoint=encoders.run_of(
      _CHECKPOINT.value, pretraining=mae.get_config().to_dict()
    ),
    data=_DATA.value,
    out=_OUT.value,
    path=_PATH.value,
    step=_STEP.value,
    depth=_DEPTH.value,
    size=size,
    random_init=_RANDOM.value,
    sequences=_SEQUENCES.value,
    context=_CONTEXT.value,
    neighbourhood=_NEIGHBOURHOOD.value,
    topk=_TOPK.value,
    temperature=_TEMPERATURE.value,
  )


if __name__ == '__main__':
  command.run(main, required=['checkpoint', 'data', 'out'])
