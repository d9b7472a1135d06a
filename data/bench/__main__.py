"""How fast clips are read, and how many cores feed the recipe's model.

  python -m data.bench --config=configs/mae.py:size=S,data=DATA

What is measured, and how, is in `data/bench/measure.py`. The model's training
FLOPs are those that the recipe's objective counts, so that the last line says
what a chip of --chip_tflops eats at --mfu, and the cores that feed it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import config_flags

from base import command
from data.bench.measure import measure


def feeding(
  clips_per_s: float, flops_per_clip: float, chip_tflops: float, mfu: float
) -> dict[str, float]:
  """What a chip eats, and the cores that feed it.

  Args:
    clips_per_s: of a core.
    flops_per_clip: of training: forward and backward.
    chip_tflops: peak of the chip, 1e12 FLOP/s.
    mfu: the share of it that the model reaches.
  """
  eaten = chip_tflops * 1e12 * mfu / flops_per_clip
  return {
    **{'flops_per_clip': flops_per_clip, 'chip_tflops': chip_tflops},
    **{'mfu': mfu, 'chip_clips_per_s': eaten},
    'cores_per_chip': eaten / clips_per_s,
  }


def flops_per_clip(
  model: Mapping[str, Any], sources: Mapping[str, Mapping[str, Any]]
) -> float:
  """Of one clip's training, forward and backward, as the objective counts.

  Args:
    model: the recipe's section.
    sources: the recipe's; they tell the shape of a clip.
  """
  from models import objective  # a command composes; nothing imports it

  source = next(iter(sources.values()))
  clip = tuple(source[key] for key in ('frames', 'height', 'width'))
  # Only the shape is read, and this takes no memory.
  video = np.broadcast_to(np.uint8(0), (1, *clip, 3))
  return sum(objective.make(**model).flops({'video': video}).values())


def report(found: Mapping[str, Any]) -> str:
  """The figures, for people."""
  lines = []
  if 'stages_ms' in found:
    latency = found['latency_ms']
    peers = found['peers']
    lines += [
      f'one core, {found["clips"]} clips: '
      f'{found["clips_per_s_core"]:.1f} clips/s, '
      f'{found["frames_per_s_core"]:.0f} frames/s',
      '  CPU ms per clip: '
      + ', '.join(f'{k} {v:.2f}' for k, v in found['stages_ms'].items()),
      '  latency ms: ' + ', '.join(f'{k} {v:.1f}' for k, v in latency.items()),
      'the same clips, decode to RGB, clips/s and core:',
      f'  ours {peers["ours"]:.1f} (cropped and resized)',
      f'  bare PyAV loop {peers["bare"]:.1f}: '
      f'ours is {peers["ours_over_bare"]:.2f} times as fast',
      f'  256p, long groups of pictures {peers["long"]:.1f}: '
      f'ours is {peers["ours_over_long"]:.2f} times as fast',
    ]
  rates = found['pipeline']
  lines += [
    f'pipeline, wall time: {rates["in_process"]:.1f} clips/s in this process, '
    f'{rates["with_workers"]:.1f} with {rates["workers"]} workers: '
    f'{rates["workers_over_cores"]:.2f} of {rates["workers"]} cores '
    f'({rates["cpu_in_process_over_with_workers"]:.2f} by CPU time)',
    f'memory: {found["memory_mb"]:.0f} MB without workers, '
    f'{rates["memory_mb"]:.0f} MB with',
  ]
  if 'feeding' in found:
    fed = found['feeding']
    lines.append(
      f'the model takes {fed["flops_per_clip"] / 1e9:.1f} GFLOP a clip: a chip '
      f'of {fed["chip_tflops"]:g} TFLOP/s at MFU {fed["mfu"]:g} eats '
      f'{fed["chip_clips_per_s"]:.0f} clips/s, and {fed["cores_per_chip"]:.1f} '
      'cores feed it'
    )
  return '\n'.join(lines)


def main() -> None:
  """Measures, and prints the figures."""
  given = flags.FLAGS
  if given.json and not Path(given.json).absolute().parent.is_dir():
    raise ValueError(f'--json={given.json} must be in a folder that there is')
  options = {
    **given.config.data.to_dict(),
    'split': given.split,
    'batch_size': given.batch_size,
  }
  found = measure(
    options,
    rounds=given.rounds,
    clips=given.clips,
    copies=given.copies,
    workers=given.workers,
  )
  if 'model' in given.config:
    found['feeding'] = feeding(
      found.get('clips_per_s_core', found['pipeline']['in_process']),
      flops_per_clip(given.config.model.to_dict(), options['sources']),
      given.chip_tflops,
      given.mfu,
    )
  print(report(found))
  if given.json:
    Path(given.json).write_text(json.dumps(found, indent=2) + '\n')


if __name__ == '__main__':
  config_flags.DEFINE_config_file(
    'config', None, 'recipe, for its sections data and model'
  )
  flags.DEFINE_string('split', 'train', 'which clips')
  flags.DEFINE_integer('rounds', 5, 'medians are of so many', lower_bound=1)
  flags.DEFINE_integer('clips', 64, 'per round', lower_bound=1)
  flags.DEFINE_integer(
    'batch_size', 16, 'in place of the recipe', lower_bound=1
  )
  flags.DEFINE_integer('copies', 8, 'videos with long groups of pictures')
  flags.DEFINE_integer('workers', 2, 'processes', lower_bound=1)
  flags.DEFINE_float('chip_tflops', 197, 'peak of the chip; 197: TPU v5e')
  flags.DEFINE_float('mfu', 0.4, 'share of the peak that the model reaches')
  flags.DEFINE_string('json', None, 'also write the figures to this file')
  command.run(main, required=['config'])
