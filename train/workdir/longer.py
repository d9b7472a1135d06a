"""A run that is given more steps: what its learning rate does from there."""

from collections.abc import Mapping
from typing import Any

from base import files
from base.names import choose
from train import schedule
from train.workdir import contents, identity
from train.workdir.settling import Asked

# Options of `schedule.make`, beside the steps.
_KEYS = ('lr', 'schedule', 'warmup_fraction', 'final_lr', 'extensions')


def extended(
  workdir: str, config: Mapping[str, Any], asked: Asked
) -> tuple[dict[str, Any], Asked]:
  """The config with the extensions of its run, and what may be changed for it.

  Recipes know of none: of a run that was given more steps the folder does, and
  the same command goes on. Where it is given more now, `asked.longer` says what
  the rate does from the last checkpoint on.

  Args:
    workdir: of the run, which may not have begun.
    config: as the recipe has it.
    asked: what this start asks.

  Raises:
    ValueError: more steps, and nobody says what the rate does; or it cannot do
      that.
  """
  config = dict(config)
  path = files.path(workdir) / 'config.json'
  if not files.exists(path) or not contents.steps(workdir):
    return config, asked
  before = identity.flatten(contents.read_config(workdir))
  if 'optim.extensions' not in before:
    return config, asked  # no run of ours: `settle` says so
  known, optim = before['optim.extensions'], dict(config['optim'])
  # A config that has some says it all.
  if not optim['extensions']:
    optim['extensions'] = known
  config['optim'] = optim
  steps, more = before['steps'], config['steps']
  if more <= steps:
    return config, asked
  start = contents.steps(workdir)[-1]
  if asked.back_to >= 0:
    start = min(start, asked.back_to)
  if not asked.longer:
    raise ValueError(
      f'--workdir={workdir} holds a run of {steps} steps, now steps={more}: '
      f'say with --longer what the learning rate does from step {start} on: '
      'constant (it stays as it is there), rewarm (up to optim.lr again, then '
      f'as the schedule ends), or same (as with {more} from the start, where '
      'that is the same so far)'
    )
  choose('--longer', asked.longer, schedule.LONGER)
  if asked.longer == 'same':
    options = {key: optim[key] for key in _KEYS}
    schedule.check_same(
      {'steps': steps, **options}, {'steps': more, **options}, start
    )
  else:
    optim['extensions'] = [*known, [start, steps, asked.longer]]
  allow = (*asked.allow, 'steps', 'optim.extensions')
  return config, asked._replace(allow=allow)
