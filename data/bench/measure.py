"""Measures how fast clips are read. `python -m data.bench` prints it.

Clips are read as training does, with the options of `config.data`:

* clips and frames per second and core, by stage, and the latency of a clip;
* the same against peers (`data/bench/peers.py`), of the very same clips: the
  bare PyAV loop, and the usual loop over 256p files with long groups of
  pictures, which are made here in memory;
* clips per second of the whole pipeline, in this process and in workers;
* memory.

Rates per core are of CPU time of the process, so that a busy machine changes
them little; those of the pipeline are of wall time and want an idle machine.
Rounds of what is compared are interleaved, and medians reported.
"""

import itertools
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from base.console import progress
from data import pipeline
from data.bench import peers
from data.formats.record import Record
from data.sources import videos

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
  for _ in _followed('one core, with peers', rounds):
    # Parsed before the clock runs, as peers read files from memory.
    examples = []
    for _ in range(clips):
      found = source.fetch(int(rng.choice(records)))
      examples.append((found, source.draw(found, rng)))

    def ours(found, clip):
      source.render(source.decode(found, clip), clip)

    def bare(found, clip):
      peers.bare_loop(found.payload, clip.frames, found.fps)

    def usual(found, clip):
      copy, begin = long[found.source]
      frames = found.start - begin + clip.frames
      peers.usual_loop(
        *(copy, frames, found.fps, clip.box, source.height, source.width)
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


def _followed(what: str, rounds: int) -> Iterator[int]:
  """Each round, and shows between them how many are done."""
  with progress(f'measuring {what}', rounds, 'round', leave=False) as bar:
    for number in range(rounds):
      yield number
      bar.update(1)


def _long_copies(
  source: videos.Videos, copies: int
) -> tuple[list[int], dict[str, tuple[bytes, int]]]:
  """Records to draw clips from; of each video its long-group copy and start."""
  of_video = defaultdict(list)
  for index, video in enumerate(source.shards.index['video'][source.rows]):
    of_video[int(video)].append(index)
  chosen = list(of_video.values())
  chosen = chosen[:: max(1, len(chosen) // copies)][:copies]
  records, long = [], {}
  for indices in chosen:
    parsed = [source.fetch(index) for index in indices[:_LONG_RECORDS]]
    together = _together(parsed)
    copy = peers.long_group(parsed[:together])
    long[parsed[0].source] = copy, parsed[0].start
    records += indices[:together]
  return records, long


def _together(records: Sequence[Record]) -> int:
  """How many of the first records follow each other without a pause."""
  for number, (one, other) in enumerate(itertools.pairwise(records), 1):
    like = (one.fps, one.height, one.width)
    ends = one.start + one.frames
    if (other.fps, other.height, other.width) != like or other.start >= ends:
      return number
  return len(records)


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
  for _ in _followed('the pipeline', rounds):
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
      # A few clips may take less than the clock's tick.
      spent = max(_cpu_seconds() - spent, 1 / os.sysconf('SC_CLK_TCK'))
      costs[count].append(spent / clips)
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


def measure(
  options: Mapping[str, Any],
  *,
  rounds: int = 5,
  clips: int = 64,
  copies: int = 8,
  workers: int = 2,
) -> dict[str, Any]:
  """All figures, by name.

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
