r"""Trains and tests a readout: `python -m evals --config=... --checkpoint=RUN`.

    python -m evals --config=configs/readout.py:task=depth,data=world \
      --checkpoint=RUN --workdir=OUT [--step=N | --random_init]

The same command goes on where a stopped job left off, with the checkpoint that
it began with, and says so when it is done. Any value of the recipe can be
overridden: `--config.optim.lr=1e-3`; options of a source are part of the
argument: `data=movi,data.path=DIR`.

RUN may be `hf:FOLDER`, an encoder of others as transformers saves it, which is
made a run of once: docs/encoders.md.
"""

import time

from absl import flags
from ml_collections import config_flags

from base import command

_STARTED = time.perf_counter()
_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'A recipe: configs/readout.py:task=...,data=...'
)
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint',
  None,
  "The pretraining run's folder (its --workdir), or hf:FOLDER.",
)
_STEP = flags.DEFINE_integer(
  'step', -1, "Of the run's checkpoints; -1: the last when the job begins."
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, "This job's folder: result.json, pictures, logs."
)
_RANDOM_INIT = flags.DEFINE_bool(
  'random_init', False, 'Do not load the checkpoint: the baseline.'
)
_ALLOW = flags.DEFINE_list(
  'allow',
  [],
  'NAME,... of config values that may differ from those that the job began '
  'with, as optim.lr; from here on.',
)
_LONGER = flags.DEFINE_string(
  'longer',
  '',
  'What the learning rate does of a job that is given more steps before it has '
  'its result, from its last checkpoint on: constant, rewarm or same (as from '
  'the start).',
)
_BACK_TO = flags.DEFINE_integer(
  'back_to', -1, "Step of the job's own checkpoint to go on from."
)
_CACHE = command.compilation_cache()


def main() -> None:
  """Runs the job; heavy imports wait until flags are right."""
  from base import files
  from configs import mae
  from evals import encoders, evaluate, is_readout, resolve
  from train import processes
  from train.progress import Clock
  from train.workdir import Asked

  config = _CONFIG.value.to_dict()
  files.check_folder(_WORKDIR.value, '--workdir')
  processes.join(_CACHE.value, **config['processes'])
  checkpoint = encoders.run_of(
    _CHECKPOINT.value, pretraining=mae.get_config().to_dict()
  )
  resolve.say_recipe(config)
  if is_readout(config):
    encoders.say_features(checkpoint, config['features']['depth'])
  evaluate.run(
    config,
    checkpoint=checkpoint,
    workdir=_WORKDIR.value,
    random_init=_RANDOM_INIT.value,
    step=_STEP.value,
    clock=Clock(imports=time.perf_counter() - _STARTED),
    asked=Asked(
      allow=_ALLOW.value, longer=_LONGER.value, back_to=_BACK_TO.value
    ),
  )


if __name__ == '__main__':
  required = ['config', 'checkpoint', 'workdir']
  command.run(main, required=required, goes_on=True)
