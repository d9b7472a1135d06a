"""What a single video file is, and what ingestion would make of it.

Decodes all of it, as ingestion does; nothing is encoded or written.
"""

import functools
from collections.abc import Iterator
from fractions import Fraction

import av
from av.video.reformatter import ColorPrimaries, ColorTrc

from data import film
from data.film import streams, told
from data.ingest import transcode
from data.ingest.recipe import GROUP, Recipe
from data.remote import Path
from data.source import BadRecord

_STRETCHES = 20  # that are told one by one
_RANGES = {0: 'untagged', 1: 'limited', 2: 'full'}
_MATRICES = {
  **{0: 'RGB', 1: 'BT.709', 2: 'untagged', 4: 'FCC', 5: 'BT.601', 6: 'BT.601'},
  **{7: 'SMPTE 240M', 9: 'BT.2020'},
}


def describe(path: Path) -> Iterator[str]:
  """Lines of text, as they become known.

  Args:
    path: the file.

  Raises:
    BadRecord: ingestion refuses it; the reason is in the message.
  """
  recipe, found = Recipe(), film.Told()
  with film.opened(path, found) as stream:
    yield from _container(path, stream)
    stored = functools.partial(film.stored_rate, most=recipe.max_fps)
    records = kept = longest = 0
    seconds = Fraction(0)
    for number, stretch in enumerate(film.stretches(stream, stored, found)):
      first = next(stretch.frames)
      if not number:
        yield from _picture(stream, first, found)
      transcode.tell(first, found)
      size = transcode.fit(*stretch.size, recipe.short_side)
      frames = 1 + sum(1 for _ in stretch.frames)
      longest = max(longest, frames)
      short = frames < recipe.min_frames
      if short:
        found.kinds['short'] += 1
        found.pictures['too_short'] += frames
      else:
        kept += frames
        seconds += frames / stretch.rate
        groups = -(-frames // GROUP)
        records += len(list(transcode.chunks(groups, recipe)))
      if number < _STRETCHES:
        yield _stretch(stretch, frames, size, short)
      elif number == _STRETCHES:
        yield '    ...'
    if film.missing(path):
      found.kinds['truncated'] += 1
  for gap in found.gaps[:_STRETCHES]:
    yield f'  gap: {gap} do not decode'
  for line in told.lines(dict.fromkeys(found.kinds, 1), found.pictures):
    yield f'  told: {line}'
  if not records:
    raise BadRecord(transcode.too_short(longest, recipe, found))
  yield (
    f'  ingested: {told.count("record", records)}, '
    f'{told.count("frame", kept)}, {float(seconds):.1f} s'
  )


def _container(path: Path, taken: av.VideoStream) -> Iterator[str]:
  container = taken.container
  # Where the header does not tell, FFmpeg goes by times; raw streams have none.
  ticks = container.duration
  length = f'{ticks / av.time_base:.1f} s as FFmpeg has it' if ticks else ''
  yield (
    f'{path}: {container.format.name}, {path.stat().st_size / 1e6:.2f} MB, '
    f'{length or "does not tell its length"}'
  )
  for stream in container.streams.video:
    codec = stream.codec_context
    rates = [f'{float(rate):.5g}' for rate in streams.rates(stream)]
    flags = stream.disposition.name or 'none'
    yield (
      f'  stream {stream.index}: {codec.name if codec else "no decoder"}, '
      f'{stream.width} x {stream.height}, '
      f'{codec.pix_fmt if codec else "unknown"}, '
      f'{" or ".join(dict.fromkeys(rates)) or "unknown"} fps, '
      f'disposition {flags}{", taken" if stream.index == taken.index else ""}'
    )


def _picture(
  stream: av.VideoStream, frame: av.VideoFrame, found: film.Told
) -> Iterator[str]:
  turn, kind = film.turn(frame), film.colours(frame)
  height, width = film.upright_size(stream, frame)
  steps = [
    *(['rows and columns swapped'] if turn.swaps else []),
    *(['mirrored left to right'] if turn.left_right else []),
    *(['mirrored top to bottom'] if turn.top_bottom else []),
  ]
  mirrored = ' (a mirror)' if turn.mirrors else ''
  # Of a GIF what is said is not meant.
  aspect = film.aspect(stream)
  yield (
    f'  shown: {width} x {height}, {", ".join(steps) or "upright"}{mirrored}; '
    f'pixels {"square" if aspect == 1 else aspect}'
    + ('; interlaced' if found.kinds['interlaced'] else '')
  )
  matrix = _MATRICES.get(frame.colorspace, str(frame.colorspace))
  special = {'hdr': '; HDR', 'wide': '; wide gamut', '': ''}[kind]
  yield (
    f'  colours: matrix {matrix}, range {_RANGES.get(frame.color_range)}'
    f', primaries {_name(ColorPrimaries, frame.color_primaries)}, transfer '
    f'{_name(ColorTrc, frame.color_trc)}{special}'
  )


def _name(kind, number: int) -> str:
  names = {each.value: each.name for each in kind}
  return names.get(number, str(number)).lower()


def _stretch(
  stretch: film.Stretch, frames: int, size: tuple[int, int], short: bool
) -> str:
  why = f', {stretch.after} before it' if stretch.after else ''
  return (
    f'    from {float(stretch.begin):.2f} s{why}: {stretch.own:.5g} pictures a '
    f'second; {told.count("frame", frames)} at {float(stretch.rate):.5g}, '
    f'{size[1]} x {size[0]}' + (': too short, left out' if short else '')
  )
