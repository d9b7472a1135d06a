"""Shows what a data set holds, and that it can be read.

  python -m data.inspect DATA             a folder made by data.ingest
  python -m data.inspect world            a source: a module of data/

Prints counts, decodes some records from end to end, and draws a contact sheet:
a row per record, time from left to right; depth below the video where there is
any. Ends with an error if a record is bad.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from absl import app, flags
from jaxtyping import Float, UInt8

from data import record, shards, transforms, video
from data import source as source_lib

_ROWS, _COLUMNS, _HEIGHT, _CAPTION = 12, 8, 96, 16  # of the sheet; pixels

Row = tuple[str, UInt8[np.ndarray, 't h w 3']]


def describe(path: Path) -> str:
  """What an ingested folder says of itself."""
  manifest = shards.manifest(path)
  frames = shards.open_shards(path).index['frames']
  lines = [
    f'{path}: fingerprint {manifest["fingerprint"]}',
    f'  {manifest["videos"]} videos, {manifest["records"]} records, '
    f'{len(manifest["shards"])} shards',
    f'  {manifest["seconds"] / 3600:.3f} hours, {manifest["frames"]} frames '
    '(those in two records count twice)',
    f'  {manifest["bytes"] / 1e6:.1f} MB, '
    f'{manifest["bytes"] / len(frames) / 1e3:.0f} kB per record',
    f'  frames per record: {frames.min()} to {frames.max()}, '
    f'median {np.median(frames):.0f}',
    '  recipe: ' + ', '.join(f'{k}={v}' for k, v in manifest['recipe'].items()),
    f'  {manifest["refused"]} files refused',
  ]
  refused = (path / shards.QUARANTINE).read_text().splitlines()
  reasons = Counter(json.loads(row)['reason'].split(':')[0] for row in refused)
  lines += [f'    {n} x {reason}' for reason, n in reasons.most_common(10)]
  return '\n'.join(lines)


def check(path: Path, rows: Sequence[int]) -> Iterator[Row | str]:
  """Decodes all frames of these records: a row of the sheet, or the fault."""
  folder = shards.open_shards(path)
  for row in rows:
    try:
      found = record.parse(folder.read(row))
      frames = video.decode(found, np.arange(found.frames))
    except source_lib.BadRecord as error:
      yield f'record {row}: {error}'
      continue
    shown = [frames[i] for i in _spread(found.frames, _COLUMNS)]
    box = transforms.Box(0, 0, found.height, found.width)
    width = max(1, round(_HEIGHT * found.width / found.height))
    caption = (
      f'{row}: {found.name} from {float(found.start / found.fps):.1f} s, '
      f'{found.width} x {found.height}, {float(found.fps):.3g} fps, '
      f'{found.frames} frames'
    )
    yield caption, video.render(shown, box, _HEIGHT, width)


def sample(
  source: source_lib.Source, records: Sequence[int]
) -> Iterator[Row | str]:
  """As `check`, for any source: its clips, and their depth."""
  for index in records:
    try:
      found = source.read(index, np.random.default_rng(index))
    except source_lib.BadRecord as error:
      yield f'record {index}: {error}'
      continue
    keys = ', '.join(
      f'{key} {value.dtype} {list(np.shape(value))}'
      for key, value in found.items()
    )
    frames = _spread(len(found['video']), _COLUMNS)
    yield f'{index}: {keys}', found['video'][frames]
    if 'depth' in found:
      yield f'{index}: depth', depth_picture(found['depth'][frames])


def depth_picture(
  depth: Float[np.ndarray, 't h w 1'],
) -> UInt8[np.ndarray, 't h w 3']:
  """Near is red, far is blue, unknown is black."""
  known = depth > 0
  inverse = np.where(known, 1 / np.where(known, depth, 1), 0)
  low, high = inverse[known].min(initial=1e9), inverse.max()
  level = 255 * (inverse - low) / max(high - low, 1e-9)
  level = level.clip(0, 255).astype(np.uint8)
  colours = [cv2.applyColorMap(each, cv2.COLORMAP_TURBO) for each in level]
  return np.stack(colours)[..., ::-1] * known


def sheet(rows: Sequence[Row]) -> UInt8[np.ndarray, 'rows columns 3']:
  """One picture of all rows, captions above them."""
  strips = []
  for caption, clip in rows:
    width = max(1, round(_HEIGHT * clip.shape[2] / clip.shape[1]))
    tiles = [
      cv2.resize(picture, (width, _HEIGHT), interpolation=cv2.INTER_AREA)
      for picture in clip
    ]
    strip = np.concatenate(tiles, axis=1)
    label = np.zeros((_CAPTION, max(strip.shape[1], 8 * len(caption)), 3))
    label = label.astype(np.uint8)
    cv2.putText(
      label, caption, (2, 12), cv2.FONT_HERSHEY_PLAIN, 0.8, (255, 255, 255)
    )
    strips += [label, strip]
  width = max(strip.shape[1] for strip in strips)
  return np.concatenate(
    [
      np.pad(strip, ((0, 0), (0, width - strip.shape[1]), (0, 0)))
      for strip in strips
    ]
  )


def inspect(
  data: str, split: str, records: int, out: Path | None
) -> Mapping[str, Any]:
  """Prints, checks and draws; returns {'checked', 'bad', 'picture'}.

  Raises:
    ValueError: neither an ingested folder nor a source.
  """
  if Path(data).is_dir():
    out = out or Path(data) / 'contact.png'
    print(describe(Path(data)))
    total = len(shards.open_shards(Path(data)).index['frames'])
    found = check(Path(data), _spread(total, records or total))
  else:
    out = out or Path(f'contact-{data}.png')
    source = source_lib.make(data, split)
    print(f'{data}: {len(source)} records in the split {split}')
    found = sample(source, _spread(len(source), records or len(source)))
  rows, bad, checked = [], [], 0
  for row in found:
    checked += 1
    if isinstance(row, str):
      bad.append(row)
    elif len(rows) < _ROWS:
      rows.append(row)
  print(f'  {checked} rows read, {len(bad)} bad')
  for fault in bad:
    print(f'    {fault}')
  if rows:
    cv2.imwrite(str(out), sheet(rows)[..., ::-1])
    print(f'  contact sheet: {out}')
  return {'checked': checked, 'bad': bad, 'picture': out if rows else None}


def _spread(total: int, count: int) -> list[int]:
  """At most `count` numbers below `total`, from first to last."""
  return sorted({round(n) for n in np.linspace(0, total - 1, count)})


def main(argv: Sequence[str]):
  """The command."""
  if len(argv) != 2:
    raise app.UsageError(
      'one argument: a folder made by data.ingest, or a source'
    )
  given = flags.FLAGS
  out = Path(given.out) if given.out else None
  try:
    found = inspect(argv[1], given.split, given.records, out)
  except (ValueError, OSError) as error:
    raise SystemExit(str(error)) from error
  if found['bad']:
    raise SystemExit(f'inspect: {len(found["bad"])} bad records')


if __name__ == '__main__':
  flags.DEFINE_string(
    'out',
    None,
    'the picture; DATA/contact.png or contact-SOURCE.png if not set',
  )
  flags.DEFINE_integer(
    'records', 12, 'records to decode, evenly spread; 0: all', lower_bound=0
  )
  flags.DEFINE_string('split', 'train', 'of a source')
  app.run(main)
