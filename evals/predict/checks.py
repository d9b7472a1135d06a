"""Whether a folder is a finished job, and of which backbone."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from base import files
from evals import is_readout
from evals import job as job_lib
from evals import result as result_lib
from evals.job import Job
from evals.resolve import read_config
from models import objective as objective_lib
from train import workdir
from train.checkpoint import find, saved_at, steps


def finished(readout: str) -> tuple[Job, dict[str, int]]:
  """A job of a folder, and which head of each task was chosen.

  Raises:
    ValueError: not a job, or one that is not finished, or a damaged file.
  """
  folder = files.path(readout)
  if not files.exists(folder / 'config.json'):
    raise ValueError(
      f'--readout={readout} is not a readout job: it has no config.json. Give '
      'the --workdir of a `python -m evals`'
    )
  config = workdir.read_config(readout)
  if not is_readout(config):
    raise ValueError(
      f'--readout={readout} is a pretraining run: train a readout of it with '
      f'`python -m evals --checkpoint={readout}`, and give its --workdir'
    )
  if not files.exists(folder / 'result.json'):
    raise ValueError(
      f'--readout={readout} is not finished: it has no result.json. Run its '
      'command again'
    )
  return job_lib.read(readout), result_lib.heads(readout)


def check_times(job: Job, asked: Mapping[str, np.ndarray]) -> None:
  """Whether points that are asked for in later frames can be.

  Raises:
    ValueError: the readout of points is told places only.
  """
  tasks = job.objective.tasks
  if 'points' not in tasks or asked['points'].shape[1] == 2:
    return
  if not tasks['points'].query_frames:
    raise ValueError(
      '--queries: points are [x, y, frame], but this readout of points is told '
      'no frame. Ask for [x, y] in frame 0, or train one with '
      'data.query_frame=-1 and --config.tasks.points.query_frames=true'
    )


def check_backbone(job: Job, readout: str, checkpoint: str) -> None:
  """Whether the job's backbone is from this run, or a copy of it.

  Raises:
    ValueError: `checkpoint` is no run, or its model or its parameters are not
      the job's.
  """
  model = objective_lib.for_readouts(**read_config(checkpoint)['model'])
  theirs = workdir.flatten(model)
  ours = workdir.flatten(job.train['model'])
  other = [
    f'{key}: {theirs.get(key, "absent")} there, {ours.get(key, "absent")} here'
    for key in sorted(theirs.keys() | ours.keys())
    if theirs.get(key) != ours.get(key)
  ]
  other = other or _other_weights(job.backbone, checkpoint)
  if other:
    raise ValueError(
      f'--checkpoint={checkpoint} is of another backbone than '
      f'--readout={readout} ({"; ".join(other[:5])}): its own is that of '
      f'{job.backbone["run"]}'
    )


def _other_weights(backbone: Mapping[str, Any], checkpoint: str) -> list[str]:
  """In what a run's parameters are not the job's, as far as can be told."""
  step, there = backbone['step'], steps(checkpoint)
  if step in there:
    saved = saved_at(find(checkpoint, step)[0])
    if saved == backbone['saved']:
      return []
    return [
      f'step {step} was saved at {saved} ns there, {backbone["saved"]} ns here'
    ]
  run = workdir.real(checkpoint)
  if run != workdir.real(backbone['run']):
    return [f'run: {run} there, {backbone["run"]} here']
  # The run may have deleted it, but not have stopped before it.
  if step is not None and step > max(there, default=step):
    return [f'step: at most {max(there)} there, {step} here']
  return []
