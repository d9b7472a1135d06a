"""Every sequence of a benchmark: features -> labels carried on -> scores."""

import dataclasses
import json
import time
from collections.abc import Mapping
from collections.abc import Sequence as Listed
from typing import Any

import cv2
import jax.numpy as jnp
import numpy as np

from base import console, files, jsons
from base.console import progress, say
from data import contact_sheet
from data.sequences import Sequence
from data.source import BadRecord
from evals import made_of as made_of_lib
from evals import metrics
from evals.propagate import benchmarks, labels, walk
from evals.propagate.encoder import Encoder

_MADE_OF = 'propagate.json'
_INTERVAL = metrics.INTERVAL.replace('test clips', 'sequences')
_PICTURES = 4  # sequences that are drawn (ours)
_REMEDY = 'remove it, and the same command makes it again'
Result = dict[str, Any]


def propagate(
  *,
  checkpoint: str,
  data: str,
  out: str,
  path: str = '',
  step: int = -1,
  depth: float = 0.95,
  size: tuple[int, int] | None = None,
  random_init: bool = False,
  sequences: int = 0,
  **options: int | float | None,
) -> Result:
  """Scores a backbone, sequence by sequence; those that are there are kept.

  Args:
    checkpoint: folder of a pretraining run.
    data: a name of `benchmarks.BENCHMARKS`.
    out: folder, of a disk.
    path: the benchmark's folder; '' for the world.
    step: of the checkpoint; -1: the last.
    depth: of the features.
    size: height and width of frames; None: the benchmark's.
    random_init: leave the backbone as it is before training.
    sequences: how many, the first ones; 0: all, of the world 32.
    **options: of `walk.Options`, in place of the benchmark's; None: as it is.

  Returns:
    What OUT/result.json holds.

  Raises:
    ValueError: wrong input, or a folder of something else.
  """
  benchmark = benchmarks.get(data)
  if not files.is_local(out):
    raise ValueError(f'--out={out} must be a folder of a disk')
  if bool(path) != benchmark.needs_path:
    what = 'needs its folder' if benchmark.needs_path else 'is drawn here'
    raise ValueError(
      f'--data={data} {what}, and --path is {path!r}: '
      + ('give --path=DIR' if benchmark.needs_path else 'leave it out')
    )
  if sequences < 0:
    raise ValueError(f'--sequences={sequences} must be 0 (all) or more')
  if random_init and step != -1:
    raise ValueError(
      f'--step={step} is of a checkpoint, and --random_init loads none: leave '
      'one of them out'
    )
  given = {key: x for key, x in options.items() if x is not None}
  how = dataclasses.replace(benchmark.options, **given)
  wanted = size or benchmark.size
  if path:  # before a backbone is loaded
    benchmark.find(path, sequences, wanted)
  encoder = Encoder(
    checkpoint, step=step, depth=depth, size=wanted, random_init=random_init
  )
  found = benchmark.find(path, sequences, encoder.size)
  made_of = {
    **{'data': data, 'model': encoder.backbone.model},
    **{'step': encoder.backbone.step, 'saved': encoder.backbone.saved},
    **{'random_init': random_init, 'depth': depth},
    **{'size': list(encoder.size), 'grid': list(encoder.grid)},
    **{'repeat': encoder.repeat, 'window': encoder.window},
    'options': dataclasses.asdict(how),
  }
  files.make_folder(out, '--out')
  made_of_lib.claim(out, _MADE_OF, 'sequences', made_of)
  _say(data, encoder, how, wanted)
  each = _all(benchmark, found, encoder, how, out)
  result = _result(benchmark, each, made_of, checkpoint)
  files.write(files.path(out) / 'result.json', json.dumps(result, indent=2))
  say(table(result))
  return result


def _say(data, encoder, how, wanted) -> None:
  cut = ''
  if wanted and tuple(wanted) != encoder.size:
    cut = f' (whole patches of {wanted[0]} x {wanted[1]})'
  tubelet = ''
  if encoder.repeat > 1:
    tubelet = f', each shown {encoder.repeat} times: a token spans as many'
  rows, columns = encoder.grid
  say(
    f'{data}: frames of {encoder.size[0]} x {encoder.size[1]}{cut}, '
    f'{rows} x {columns} places, {encoder.window} frames at once{tubelet}; '
    f'context {how.context}, neighbourhood {how.neighbourhood}, '
    f'topk {how.topk}, temperature {how.temperature:g}'
  )


def _all(
  benchmark: benchmarks.Benchmark,
  found: Listed[Sequence],
  encoder: Encoder,
  how: walk.Options,
  out: str,
) -> dict[str, dict[str, Any]]:
  """The sums of every sequence, by name."""
  kept = {
    x.name: files.path(out) / 'sequences' / f'{x.name}.json' for x in found
  }
  left = [x for x in found if not files.exists(kept[x.name])]
  drawn = {x.name for x in found[:_PICTURES]}
  if len(left) < len(found):
    say(f'{len(found) - len(left)} of {len(found)} sequences are there')
  began = time.perf_counter()
  with progress('sequences', sum(map(len, left)), 'frame') as bar:
    for sequence in left:
      picture = None
      if sequence.name in drawn:
        picture = files.path(out) / 'pictures' / f'{sequence.name}.png'
      try:
        sums = _one(benchmark, sequence, encoder, how, picture, bar)
      except BadRecord as error:
        raise ValueError(f'{sequence.name}: {error}') from error
      files.make_parents(kept[sequence.name])
      files.write(kept[sequence.name], json.dumps(sums))
  frames, took = sum(map(len, left)), time.perf_counter() - began
  if left:
    say(f'{frames:,} frames in {took:.1f} s, {frames / took:.1f} frames/s')
  kind = {'frames': int, 'sums': dict, 'still': dict}
  return {name: jsons.read(file, kind, _REMEDY) for name, file in kept.items()}


def _one(benchmark, sequence, encoder, how, picture, bar) -> dict[str, Any]:
  """Carries the labels of one sequence, and scores and draws them."""
  carried = benchmark.carried(sequence, encoder.size)
  places = carried.places(encoder.grid)
  seen, answers, waiting = None, [], None

  def keep(found, real):
    answers.append(carried.answer(found, encoder.grid)[:real])
    bar.update(real)

  for features, real in encoder(sequence):
    if seen is None:
      seen = walk.start(features[0], jnp.asarray(places), how.context)
    # What only fills up the last window changes nothing that is read.
    seen, found = walk.advance(seen, features, grid=encoder.grid, options=how)
    # The device goes on while the window before is read.
    if waiting:
      keep(*waiting)
    waiting = found, real
  keep(*waiting)
  answer = np.concatenate(answers)
  if picture is not None:
    frames = contact_sheet.spread(len(sequence), contact_sheet.COLUMNS)
    video = labels.first_frames(sequence, frames)
    rows = [
      (f'{sequence.name} {title}', clip)
      for title, clip in carried.drawn(video, answer, frames)
    ]
    _, encoded = cv2.imencode('.png', contact_sheet.captioned(rows)[..., ::-1])
    files.make_parents(picture)
    files.write(picture, encoded.tobytes())
  return {
    'frames': len(sequence),
    'sums': _floats(carried.sums(answer)),
    'still': _floats(carried.sums(carried.still())),
  }


def _result(
  benchmark: benchmarks.Benchmark,
  each: Mapping[str, Mapping[str, Any]],
  made_of: Mapping[str, Any],
  checkpoint: str,
) -> Result:
  def gathered(key):
    names = next(iter(each.values()))[key]
    return {
      name: np.array([x[key][name] for x in each.values()]) for name in names
    }

  sums, still = gathered('sums'), gathered('still')
  if not sums['count'].any():
    raise ValueError(
      f'none of the {len(each)} sequences has a label that counts: give more '
      'of them, or look at the data'
    )
  scores = _floats(benchmark.scores(metrics.total(sums)))
  ends = metrics.bootstrap(sums, benchmark.scores)
  return {
    **made_of,
    'checkpoint': checkpoint,
    'headline': list(benchmark.headline),
    'interval': _INTERVAL,
    'metrics': {
      name: {'value': x, 'low': ends[name][0], 'high': ends[name][1]}
      for name, x in scores.items()
    },
    'trivial': _floats(benchmark.scores(metrics.total(still))),
    'sequences': {
      name: {
        'frames': x['frames'],
        'count': x['sums']['count'],
        **_floats(benchmark.scores(x['sums'])),
      }
      for name, x in each.items()
    },
  }


def table(result: Result) -> str:
  """A line of each sequence, and one of all."""
  lines = []
  for name, x in result['sequences'].items():
    shown = {key: f'{x[key]:.4f}' for key in result['headline']}
    if not x['count']:
      shown = dict.fromkeys(shown, 'none counts')
    lines.append({'sequence': name, 'frames': str(x['frames'])} | shown)
  found = result['metrics']
  total = sum(x['frames'] for x in result['sequences'].values())
  lines.append(
    {'sequence': 'all [95%]', 'frames': f'{total}'}
    | {
      key: f'{found[key]["value"]:.4f} '
      f'[{found[key]["low"]:.4f}, {found[key]["high"]:.4f}]'
      for key in result['headline']
    }
  )
  lines.append(
    {'sequence': 'as the first frame', 'frames': ''}
    | {key: f'{result["trivial"][key]:.4f}' for key in result['headline']}
  )
  return console.table(lines)


def _floats(scores: Mapping[str, Any]) -> dict[str, float]:
  return {name: float(x) for name, x in scores.items()}
