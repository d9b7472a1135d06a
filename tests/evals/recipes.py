"""Tasks and readouts of the published recipe, with some options changed."""

from collections.abc import Mapping

from configs import readout
from evals import readout as objective_lib
from evals import task as task_lib
from train.watchdog import Watchdog

SILENT = Watchdog(tell_sec=0.0, limit_sec=0.0)


def options(name, **changes):
  """All options of task `name`; those of MooG's head if `readout` is that."""
  own = changes.get('readout') in readout.MOOG.values()
  head = 'moog' if own else 'attention'
  published = readout.RECIPES['paper']
  return readout.options_of(name, '', published, head) | changes


def task(name, **changes):
  """The task `name`."""
  return task_lib.make(name, **options(name, **changes))


def readout_of(backbone, tasks: Mapping[str, Mapping], **changes):
  """A readout of `tasks`, each with the options that it is given here."""
  return objective_lib.make(
    backbone=backbone,
    tasks={name: options(name, **given) for name, given in tasks.items()},
    **{'labels': ('',), 'depth': 0.95, 'finetune': False, 'clip': ()}
    | {'feature_dtype': 'float32'}
    | changes,
  )
