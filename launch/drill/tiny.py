"""A training run of seconds, for drills: its command, and what it computed."""

import os
from typing import Any

from base import files, jsons

# Seconds of compilation, not minutes; and no device but the CPU.
ENVIRONMENT = {
  'JAX_PLATFORMS': 'cpu',
  'XLA_FLAGS': '--xla_backend_optimization_level=0 '
  '--xla_cpu_use_fusion_emitters=false',
}
OVERRIDES = {
  'model.dim': 16,
  'model.depth': 2,
  'model.mlp': 32,
  'model.heads': 2,
  'model.frames': 4,
  'model.height': 16,
  'model.width': 24,
  'model.patch': '(2,4,8)',
  'model.output_patch': '(4,8,8)',
  'data.workers': 1,
  'data.sources.world.frames': 4,
  'data.sources.world.height': 16,
  'data.sources.world.width': 24,
  'data.sources.world.clips': 24,
  'data.sources.world.validation_clips': 16,
  'data.sources.world.test_clips': 8,
  'data.sources.world.cache': '',
  'optim.warmup_fraction': 0.1,
  'eval.every': 100_000,
  'log.every': 1,
  'log.tensorboard': False,
}


def command(workdir: str, *, steps: int, save_every: int) -> list[str]:
  """Words of it, for any number of processes that divides 8.

  Args:
    workdir: of the run.
    steps: of training.
    save_every: steps between two checkpoints.
  """
  values = OVERRIDES | {'steps': steps, 'checkpoint.every': save_every}
  return [
    *('python', '-m', 'train', '--config=configs/quickstart.py'),
    f'--workdir={workdir}',
    *(f'--config.{name}={value}' for name, value in values.items()),
  ]


def environment() -> dict[str, str]:
  """Variables of this process, with those that make it quick."""
  return {**os.environ, **ENVIRONMENT}


def losses(workdir: str) -> dict[int, float]:
  """{step: loss}, as far as it came."""
  return _logged(workdir, 'train/loss')


def samples(workdir: str) -> dict[int, str]:
  """{step: hash of what was trained on so far}, as far as it came."""
  return _logged(workdir, 'data/samples')


def _logged(workdir: str, name: str) -> dict[int, Any]:
  file = f'{workdir}/metrics.jsonl'
  if not files.exists(file):
    return {}
  lines = jsons.read_lines(file, {'step': int}, 'play the drill again')
  return {line['step']: line[name] for line in lines if name in line}


def differs(one: str, other: str) -> str:
  """What of two runs is not the same bit by bit; '' if all is.

  Args:
    one: workdir.
    other: workdir.
  """
  import jax

  from train import checkpoint

  if losses(one) != losses(other):
    return 'losses'
  params = [checkpoint.read(each) for each in (one, other)]
  bits = [
    [(jax.tree_util.keystr(path), leaf.tobytes()) for path, leaf in leaves]
    for leaves in map(jax.tree_util.tree_leaves_with_path, params)
  ]
  return next((a[0] for a, b in zip(*bits, strict=True) if a != b), '')
