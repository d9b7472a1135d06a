"""Trains a recipe: `python -m train --config=configs/mae.py:size=S ...`.

The same command goes on where a stopped run left off, and says so when a run
is complete. Any value of the recipe can be overridden:
`--config.optim.lr=3e-4`.
"""

import time

from absl import flags
from ml_collections import config_flags

from base import command

_STARTED = time.perf_counter()
_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'A recipe: configs/FILE.py or configs/FILE.py:KEY=VALUE,...'
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, "The run's folder: config, checkpoints, logs, pictures."
)
_PROFILE = flags.DEFINE_list(
  'profile_steps', [], 'FIRST,LAST step of a trace in WORKDIR/profile.'
)
_ALLOW = flags.DEFINE_list(
  'allow',
  [],
  'NAME,... of config values that may differ from those that the run began '
  'with, as optim.lr; from here on.',
)
_LONGER = flags.DEFINE_string(
  'longer',
  '',
  'What the learning rate does of a run that is given more steps, from its '
  'last checkpoint on: constant, rewarm or same (as from the start).',
)
_BACK_TO = flags.DEFINE_integer(
  'back_to', -1, 'Step of a checkpoint to go on from; later ones are removed.'
)
_CACHE = command.compilation_cache()


def main() -> None:
  """Composes objective and loop; heavy imports wait until flags are right."""
  from base import files
  from models import objective
  from train import loop, processes, trace
  from train.progress import Clock
  from train.workdir import Asked

  config = _CONFIG.value.to_dict()
  if 'model' not in config:
    raise ValueError(
      '--config is a recipe without a model, such as one of readouts: expected '
      'one of pretraining, as configs/mae.py:size=S; readouts are trained by '
      '`python -m evals`'
    )
  files.check_folder(_WORKDIR.value, '--workdir')
  processes.join(_CACHE.value, **config['processes'])
  loop.run(
    config,
    objective.make(**config['model']),
    _WORKDIR.value,
    profile_steps=trace.window(_PROFILE.value),
    clock=Clock(imports=time.perf_counter() - _STARTED),
    wanted=False,
    asked=Asked(
      allow=_ALLOW.value, longer=_LONGER.value, back_to=_BACK_TO.value
    ),
  )


if __name__ == '__main__':
  command.run(main, required=['config', 'workdir'], goes_on=True)
