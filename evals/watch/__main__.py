r"""Evaluates a run's checkpoints while it trains, from another process.

    python -m evals.watch --run=RUN --poll=30 \
      --config=configs/readout.py:task=all,data=world

Each checkpoint gets a readout job in RUN/readouts/STEP/, and is pinned while
the job lasts, so that the run does not delete it (`train/retention.py`). Killed
and started again, the same command goes on with the unfinished job. It ends
when the run's last checkpoint is evaluated.

A task that fails does not take the others with it: then each runs by itself,
in RUN/readouts/STEP-TASK/, and RUN/readouts/STEP/errors.json says what failed
and why; remove that file to try again. RUN/readouts/results.jsonl has a line
per checkpoint and task, and one with an `error` per checkpoint that was deleted
before it was its turn.

Several of these may share the checkpoints of a run: each takes those that no
other is at (between machines, where the file system has locks).
"""

import json
import os
import sys

from absl import flags
from ml_collections import config_flags

from base import command

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'A recipe: configs/readout.py:task=...,data=...'
)
_RUN = flags.DEFINE_string(
  'run', None, "The pretraining run's folder (its --workdir)."
)
_WORKDIR = flags.DEFINE_string(
  'workdir', '', 'Folder of the jobs; RUN/readouts if empty.'
)
_POLL = flags.DEFINE_float('poll', 30.0, 'Seconds between looks at the run.')
_CACHE = command.compilation_cache()


def main() -> None:
  """Watches; heavy imports wait until flags are right."""
  from evals import resolve
  from evals.watch import checkpoints, outcomes
  from train import processes

  processes.up(_CACHE.value)
  run = _RUN.value
  workdir = _WORKDIR.value or os.path.join(run, 'readouts')
  config = _CONFIG.value.to_dict()
  resolve.say_recipe(config)
  config = resolve.without_recipe(config)
  checkpoints.watch(config, run=run, workdir=workdir, poll=_POLL.value)
  failed = outcomes.failures(workdir)
  if failed:
    sys.exit(f'some tasks failed: {json.dumps(failed, indent=2)}')


if __name__ == '__main__':
  command.run(main, required=['config', 'run'], goes_on=True)
