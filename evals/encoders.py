"""Others' encoders, folders of Hugging Face, as runs that readouts start from.

`hf:FOLDER` in place of a run's folder is converted once. The run is kept under
the digest of what it was made of, so that a changed folder is another run.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from base import files
from base.console import say
from models import objective as objective_lib
from models.published import hf
from models.published.hf import folder as folder_lib
from train import checkpoint, workdir
from train import mesh as mesh_lib

PREFIX = 'hf:'
# Where those that nobody gave a place are kept.
KEPT = '~/.cache/scale4d/encoders'


def is_named(path: str) -> bool:
  """Whether it is one of these, and not a run's folder or a file."""
  return path.startswith(PREFIX)


def folder_of(path: str) -> str:
  """FOLDER of hf:FOLDER."""
  return os.path.expanduser(path.removeprefix(PREFIX))


def convert(
  named: str, out: str, *, pretraining: Mapping[str, Any], **clip: int
) -> None:
  """Makes a run's folder of an encoder.

  Args:
    named: hf:FOLDER.
    out: the run's folder.
    pretraining: a recipe, whose sections but for model and data it keeps.
    **clip: frames, height and width to see; 0: the encoder's own.

  Raises:
    ValueError: see `hf.read`, or the run's folder is that of another run.
  """
  path = folder_of(named)
  made_of = folder_lib.digest(path)
  found = hf.read(path, **clip)
  config = {
    **pretraining,
    **{'steps': 0, 'model': found.model},
    # What it was trained on is not here.
    'data': {**pretraining['data'], 'sources': {}},
    'made_of': {'folder': os.path.abspath(path), 'files': made_of},
  }
  say(f'{path}: {found.said}')
  with mesh_lib.use(mesh_lib.make(devices=jax.devices()[:1])):
    checkpoint.create(out, config, jax.tree.map(jnp.asarray, found.params))
  say(f'wrote {out}')


def run_of(
  path: str, *, pretraining: Mapping[str, Any], kept: str = KEPT
) -> str:
  """The run of an encoder, which is converted unless it is there.

  Args:
    path: hf:FOLDER; any other is a run's folder, and is given back.
    pretraining: see `convert`.
    kept: the folder of these runs.

  Raises:
    ValueError: see `convert`, or several processes, that may not share a disk.
  """
  if not is_named(path):
    return path
  if jax.process_count() > 1:
    raise ValueError(
      f'--checkpoint={path} is converted by one process, this is one of '
      f'{jax.process_count()}: python -m models.published convert {path} '
      '--out=RUN, on a disk or in a bucket that all of them see, and give RUN'
    )
  folder = folder_of(path)
  text = json.dumps([hf.VERSION, folder_lib.digest(folder)], sort_keys=True)
  name = os.path.basename(os.path.abspath(folder))
  key = hashlib.sha256(text.encode()).hexdigest()[:16]
  run = os.path.join(os.path.expanduser(kept), f'{name}-{key}')
  if checkpoint.steps(run):
    say(f'{path} was converted before: {run}')
  else:
    convert(path, run, pretraining=pretraining)
  return run


def say_features(run: str, depths: float | Sequence[float]) -> None:
  """Says which features of an encoder are read; of other runs nothing.

  Args:
    run: its folder; what is wrong with it, others tell.
    depths: of the features, one or several.

  Raises:
    ValueError: a depth that names none.
  """
  if not files.exists(files.path(run) / 'config.json'):
    return
  model = workdir.read_config(run).get('model', {})
  if model.get('name') in hf.FAMILIES:  # whose names are of modules, too
    made = objective_lib.make(**model)
    for depth in depths if isinstance(depths, Sequence) else (depths,):
      say(f'config.features.depth={depth:g} of {made.name}: {made.says(depth)}')
