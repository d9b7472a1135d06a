"""Measures how fast clips are read, and what that would feed.

  python -m data.bench --config=configs/mae.py:size=S,data=DATA

Reads clips as training does, with the options of `config.data`, and prints

* clips and frames per second and core, by stage, and the latency of a clip;
* the same against peers (`data/bench_peers.py`), of the very same clips: the
  bare PyAV loop, and the usual loop over 256p files with long groups of
  pictures, which are made here in memory;
* clips per second of the whole pipeline, in this process and in workers;
* memory; and, given a model's cost, the cores that feed a chip.

Rates per core are of CPU time of the process, so that a busy machine changes
them little; those of the pipeline are of wall time and want an idle machine.
Rounds of what is compared are interleaved, and medians reported.
"""

import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags
from ml_collections import config_flags

from data import bench_peers, pipeline, videos

STAGES = ('read', 'augment', 'decode', 'resize', 'batch')
_LONG_RECORDS = 8  # of each video that is copied with long groups of pictures


def stages(
  source: videos.Videos, examples: Sequence[tuple[int, int]], batch_size: int
) -> dict[str, list[float]]:
  """CPU milliseconds of each stage, and wall ones of all ('clip').

  Args:
    source: of ingested video.
    examples: (record, seed) of each clip.
    batch_size: rows of the arrays that clips are copied to; new ones each
      time, as the pipeline does, for the kernel takes time to give memory.
  """
  shape = batch_size, source.frames, source.height, source.width, 3
  spent = defaultdict(list)
  for row, (index, seed) in enumerate(examples):
    began, marks = time.perf_counter(), [time.process_time()]
    found = source.fetch(index)
    marks.append(time.process_time())
    clip = source.draw(found, np.random.default_rng(seed))
    marks.append(time.process_time())
    frames = source.decode(found, clip)
    marks.append(time.process_time())
    picture = source.render(frames, clip)
    marks.append(time.process_time())
    if row % batch_size == 0:
      batch = np.empty(shape, np.uint8)
    batch[row % batch_size] = picture
    marks.append(time.process_time())
    for stage, seconds in zip(STAGES, np.diff(marks)):
      spent[stage].append(1e3 * float(seconds))
    spent['clip'].append(1e3 * (time.perf_counter() - began))
  return dict(spent)


def compare(
  source: videos.Videos, rounds: int, clips: int, copies: int
) -> dict[str, float]:
  """Clips per second and core: ours and the peers', and the ratios.

  Args:
    source: of ingested video.
    rounds: medians are of so many.
    clips: of a round.
    copies: videos that are copied with long groups of pictures.
  """
  records, long = _long_copies(source, copies)
  rng = np.random.default_rng(0)
  rates = defaultdict(list)
  for _ in range(rounds):
    # Parsed before the clock runs, as peers read files from memory.
    examples = []
    for _ in range(clips):
      found = source.fetch(int(rng.choice(records)))
      examples.append((found, source.draw(found, rng)))

    def ours(found, clip):
      source.render(source.decode(found, clip), clip)

    def bare(found, clip):
      bench_peers.bare_loop(found.payload, clip.frames, found.fps)

    def usual(found, clip):
      bench_peers.usual_loop(
        *(long[found.source], found.start + clip.frames, found.fps, clip.box),
        *(source.height, source.width),
      )

    for name, loop in (('ours', ours), ('bare', bare), ('long', usual)):
      rates[name].append(_rate(loop, examples))
  ratios = {
    f'ours_over_{peer}': statistics.median(
      one / other for one, other in zip(rates['ours'], rates[peer])
    )
    for peer in ('bare', 'long')
  }
  found = {name: statistics.median(each) for name, each in rates.items()}
  return {**found, **ratios}


def _long_copies(
  source: videos.Videos, copies: int
) -> tuple[list[int], dict[str, bytes]]:
  """Records to draw clips from, and the long-group copy of each video."""
  of_video = defaultdict(list)
  for index, video in enumerate(source.shards.index['video'][source.rows]):
    of_video[int(video)].append(index)
  chosen = list(of_video.values())
  chosen = chosen[:: max(1, len(chosen) // copies)][:copies]
  records, long = [], {}
  for indices in chosen:
    parsed = [source.fetch(index) for index in indices[:_LONG_RECORDS]]
    long[parsed[0].source] = bench_peers.long_group(parsed)
    records += indices[:_LONG_RECORDS]
  return records, long


def _rate(loop: Callable[..., None], examples: Sequence[tuple]) -> float:
  began = time.process_time()
  for example in examples:
    loop(*example)
  return len(examples) / (time.process_time() - began)


def pipeline_rates(
  options: Mapping[str, Any], workers: int, rounds: int, batches: int
) -> dict[str, float]:
  """Clips per second of wall time, in this process and with workers.

  Workers start anew in each round and are warm when the clock starts; none is
  alive while this process is measured.

  Args:
    options: keyword arguments of `pipeline.make`.
    workers: processes.
    rounds: medians are of so many.
    batches: of a round, beside those that warm up.
  """
  rates, costs, memory = defaultdict(list), defaultdict(list), 0.0
  for _ in range(rounds):
    for count in (0, workers):
      made = pipeline.make(**{**options, 'workers': count})
      iterator = made.batches()
      # Past what workers have read ahead while they waited for each other.
      for _ in range(1 + 4 * count):
        next(iterator)
      began, spent = time.perf_counter(), _cpu_seconds()
      for _ in range(batches):
        next(iterator)
      clips = batches * made.batch_size
      rates[count].append(clips / (time.perf_counter() - began))
      costs[count].append((_cpu_seconds() - spent) / clips)
      memory = max(memory, sum(map(_memory, _processes())))
      iterator.close()
  return {
    'in_process': statistics.median(rates[0]),
    'with_workers': statistics.median(rates[workers]),
    'workers_over_cores': statistics.median(
      after / (workers * before)
      for before, after in zip(rates[0], rates[workers])
    ),
    'cpu_in_process_over_with_workers': statistics.median(
      before / after for before, after in zip(costs[0], costs[workers])
    ),
    'memory_mb': memory,
  }


def _processes() -> list[Path]:
  """This process and its children, in /proc."""
  tasks = Path('/proc/self/task').glob('*/children')
  children = ' '.join(task.read_text() for task in tasks).split()
  return [Path('/proc/self'), *(Path('/proc') / child for child in children)]


def _memory(process: Path) -> float:
  """Resident megabytes."""
  for line in (process / 'status').read_text().splitlines():
    if line.startswith('VmRSS:'):
      return int(line.split()[1]) / 1e3
  return 0.0  # it has just ended


def _cpu_seconds() -> float:
  """CPU time of this process and its children so far."""
  ticks = 0
  for process in _processes():
    # After the name, which may hold spaces: user is field 14, system 15.
    fields = (process / 'stat').read_text().rpartition(')')[2].split()
    ticks += int(fields[11]) + int(fields[12])
  return ticks / os.sysconf('SC_CLK_TCK')


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
  return {'chip_clips_per_s': eaten, 'cores_per_chip': eaten / clips_per_s}


def bench(
  options: Mapping[str, Any],
  *,
  rounds: int = 5,
  clips: int = 64,
  copies: int = 8,
  workers: int = 2,
) -> dict[str, Any]:
  """All figures, as `report` prints them.

  Args:
    options: keyword arguments of `pipeline.make`.
    rounds: medians are of so many.
    clips: per round.
    copies: videos for the comparison with long groups of pictures.
    workers: processes of the pipeline.

  Raises:
    ValueError: a bad option, empty or missing data.
  """
  found: dict[str, Any] = {'clips': rounds * clips}
  made = pipeline.make(**{**options, 'workers': 0})
  for source in made.examples.sources:
    if isinstance(source, videos.Videos):
      seeds = range(rounds * clips)
      examples = [(seed % len(source), seed) for seed in seeds]
      stages(source, examples[:4], 4)  # the first calls open files
      spent = stages(source, examples, made.batch_size)
      found['stages_ms'] = {
        stage: statistics.fmean(spent[stage]) for stage in STAGES
      }
      found['clips_per_s_core'] = 1e3 / sum(found['stages_ms'].values())
      found['frames_per_s_core'] = found['clips_per_s_core'] * source.frames
      found['latency_ms'] = {
        f'p{q}': float(np.percentile(spent['clip'], q)) for q in (50, 95, 99)
      }
      found['peers'] = compare(source, rounds, clips, copies)
      break
  found['memory_mb'] = _memory(Path('/proc/self'))
  batches = max(1, clips // made.batch_size)
  found['pipeline'] = pipeline_rates(options, workers, rounds, batches)
  found['pipeline']['workers'] = workers
  return found


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
      f'a chip eats {fed["chip_clips_per_s"]:.0f} clips/s: '
      f'{fed["cores_per_chip"]:.1f} cores feed it'
    )
  return '\n'.join(lines)


def main(_):
  """The command."""
  given = flags.FLAGS
  options = {
    **given.config.data.to_dict(),
    'split': given.split,
    'batch_size': given.batch_size,
  }
  try:
    found = bench(
      options,
      rounds=given.rounds,
      clips=given.clips,
      copies=given.copies,
      workers=given.workers,
    )
  except (ValueError, OSError) as error:
    raise SystemExit(str(error)) from error
  if given.flops_per_clip:
    found['feeding'] = feeding(
      found.get('clips_per_s_core', found['pipeline']['in_process']),
      given.flops_per_clip,
      given.chip_tflops,
      given.mfu,
    )
  print(report(found))
  if given.json:
    Path(given.json).write_text(json.dumps(found, indent=2) + '\n')


if __name__ == '__main__':
  config_flags.DEFINE_config_file(
    'config', None, 'recipe, for its data section'
  )
  flags.DEFINE_string('split', 'train', 'which clips')
  flags.DEFINE_integer('rounds', 5, 'medians are of so many', lower_bound=1)
  flags.DEFINE_integer('clips', 64, 'per round', lower_bound=1)
  flags.DEFINE_integer(
    'batch_size', 16, 'in place of the recipe', lower_bound=1
  )
  flags.DEFINE_integer('copies', 8, 'videos with long groups of pictures')
  flags.DEFINE_integer('workers', 2, 'processes', lower_bound=1)
  flags.DEFINE_float(
    'flops_per_clip', 0, 'of training; 203e9: MAE ViT-B at 90%'
  )
  flags.DEFINE_float('chip_tflops', 197, 'peak of the chip; 197: TPU v5e')
  flags.DEFINE_float('mfu', 0.4, 'share of the peak that the model reaches')
  flags.DEFINE_string('json', None, 'also write the figures to this file')
  flags.mark_flags_as_required(['config'])
  app.run(main)
