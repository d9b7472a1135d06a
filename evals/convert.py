"""Published weights to runs and readout jobs, and back."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from base import files as base_files
from base.console import say
from base.names import choose
from evals import is_readout
from evals import job as job_lib
from evals import result as result_lib
from evals.resolve import resolve
from models import objective as objective_lib
from models import published
from models.objective import Params
from models.published import files, loading, names, tables
from train import checkpoint, workdir
from train import mesh as mesh_lib

Config = Mapping[str, Any]
# Module of models/ -> the kind of file that its backbone is published as, and
# which part of its parameters that is; '': no part by itself.
_BACKBONES = {
  'mae': ('backbone', ''),
  'distill': ('backbone', 'student'),
  'moog': ('moog', ''),
  'rvm': ('rvm', ''),
}
_HEADS = sorted({*tables.KINDS} - {kind for kind, _ in _BACKBONES.values()})


def convert(
  path: str,
  out: str,
  *,
  pretraining: Config,
  readout: Config,
  heads: Sequence[str] = (),
  output_patch: Sequence[int] = (2, 8, 8),
) -> None:
  """Makes a run's folder of a published backbone, and jobs of its heads.

  What the objective has beyond the backbone, such as latents, is new, and said.
  A head becomes a finished readout job, OUT/heads/<task>.

  Args:
    path: of a file with a backbone.
    out: the folder.
    pretraining: a recipe of the backbone's method; its model is replaced.
    readout: a recipe of readouts with tasks of all heads.
    heads: files of heads of this backbone; one in `path` itself is converted
      without being named here.
    output_patch: of a depth head, see `published.load`.

  Raises:
    ValueError: not such files, heads of another backbone, or the folder is
      another run's.
  """
  loaded = published.load(path, output_patch=output_patch)
  found = {path: loaded} if 'head' in loaded.params else {}
  found |= {file: published.load(file) for file in heads}
  model = published.model_options(path, loaded.layout, pretraining['model'])
  if loaded.kind == 'moog' and heads:
    # It sees clips of any length; its heads do not.
    model['frames'] = found[heads[0]].layout.sizes['head']['frames']
  config = {
    **pretraining,
    **{'steps': 0, 'model': model},
    # What it was trained on is not here.
    'data': {**pretraining['data'], 'sources': {}},
    'init_from': {
      **pretraining['init_from'],
      'path': os.path.abspath(path),
    },
  }
  with mesh_lib.use(mesh_lib.make(devices=jax.devices()[:1])):
    params = _completed(model, loaded.params['backbone'])
    checkpoint.create(out, config, params)
    say(f'wrote {out}')
    for file, head in found.items():
      folder = _write_job(file, head, out, params, readout, output_patch)
      say(f'wrote {folder}')


def _completed(model: Config, params: Params) -> Params:
  """The backbone's parameters and new ones of all else."""
  objective = objective_lib.make(**model)
  clip = (1, model['frames'], model['height'], model['width'], 3)
  batch = {'video': jax.ShapeDtypeStruct(clip, np.uint8)}

  def rest():
    made = objective.init(jax.random.key(0), batch)
    return {key: part for key, part in made.items() if key not in params}

  new = jax.jit(rest)()
  if new:
    say(f'not in the file, and new: {", ".join(loading.flat(new))}')
  return {**params, **new}


def _write_job(
  path: str,
  head: published.Published,
  run: str,
  params: Params,
  readout: Config,
  output_patch: Sequence[int],
) -> str:
  task, sizes = head.kind, head.layout.sizes['head']
  options = {
    **readout['tasks'][task],
    **published.head_options(path, head.layout),
  }
  if task == 'depth':
    options['patch'] = tuple(output_patch)
  job = resolve(
    {**readout, 'tasks': {task: options}}, checkpoint=run, random_init=False
  )
  if job.clip[0] != sizes['frames']:
    raise ValueError(
      f'{path} is a head for clips of {sizes["frames"]} frames, the backbone '
      f'in {run} sees {job.clip[0]}'
    )
  folder = os.path.join(run, 'heads', task)
  stacked = jax.tree.map(lambda x: x[None], head.params['head'])
  checkpoint.create(
    folder, job.train, {'backbone': params, 'heads': {task: stacked}}
  )
  # No metrics: it was not tested here.
  result = {'tasks': {task: {'head': 0}}, 'file': os.path.abspath(path)}
  base_files.write(
    base_files.path(folder) / 'result.json', json.dumps(result, indent=2)
  )
  return folder


def export(run: str, out: str, *, task: str = '', ema: bool = False) -> None:
  """Writes the last checkpoint of a run, or a job's head, as published.

  Args:
    run: folder of a pretraining run, or of a readout job.
    out: the file: npz or safetensors.
    task: of a job, which head; may be empty if it has one.
    ema: take the moving average.

  Raises:
    ValueError: no such run, or it has no published form.
  """
  if not base_files.exists(base_files.path(run) / 'config.json'):
    raise ValueError(f'{run} is not a run: it has no config.json')
  config = workdir.read_config(run)
  if is_readout(config):
    kind, params = _head(run, job_lib.read(run), task)
  else:
    name = config['model']['name']
    if task or name not in _BACKBONES:
      raise ValueError(
        f'{run} is a run of {name!r}, and --task={task!r}: expected a run of '
        f'{", ".join(_BACKBONES)}, or a readout job with --task'
      )
    kind, at = _BACKBONES[name]
    params = {'backbone': checkpoint.read(run, ema=ema, at=at)}
  shapes = {key: x.shape for key, x in loading.flat(params).items()}
  layout = names.of_params(kind, shapes)
  files.write(out, loading.arrays(layout.leaves, params))
  left = f', without {names.some(layout.extra)}' if layout.extra else ''
  say(f'wrote {out} ({kind}){left}')


def _head(run: str, job: job_lib.Job, task: str) -> tuple[str, Params]:
  """Kind and parameters of a job's head; with the backbone, if of depth."""
  has = sorted(set(job.objective.tasks) & set(_HEADS))
  if not task and len(has) == 1:
    (task,) = has
  if not has:
    raise ValueError(
      f'{run} has no head with a published form: expected one of '
      f'{", ".join(_HEADS)}, got {", ".join(sorted(job.objective.tasks))}'
    )
  if not task:
    raise ValueError(
      f'{run} has heads of {", ".join(has)}: choose one with --task'
    )
  choose(f'--task of {run}', task, has)
  made = job.objective.tasks[task]
  if getattr(made, 'readout', 'attention') != 'attention':
    raise ValueError(
      f'{run}: a {made.readout} readout has no published form; train it with '
      f'--config.tasks.{task}.readout=attention'
    )
  if getattr(made, 'residual', False):
    raise ValueError(
      f'{run}: task {task} predicts offsets, which no published head does: '
      f'train it with --config.tasks.{task}.residual=False'
    )
  params = checkpoint.read(run)
  chosen = 0
  # A job that is not finished has not chosen: its first learning rate's.
  if base_files.exists(base_files.path(run) / 'result.json'):
    chosen = result_lib.heads(run)[task]
  head = jax.tree.map(lambda x: x[chosen], params['heads'][task])
  if task != 'depth':
    return task, {'head': head}
  if made.start:
    # The published head has no constant beside its bias.
    head['output']['bias'] = head['output']['bias'] + np.float32(made.start)
  at = _BACKBONES[job.train['model']['name']][1]
  backbone = params['backbone'][at] if at else params['backbone']
  return task, {'backbone': backbone, 'head': head}
