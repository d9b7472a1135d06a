"""The work of `data.inspect`: counts, checks and a contact sheet."""

import math
import pathlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from base import console, files
from data import contact_sheet, remote, transforms, video
from data import source as source_lib
from data.film import told
from data.formats import mistaken, record, shards
from data.inspect import check
from data.remote import Path
from data.splits import SPLITS

_ROWS = 12  # of the sheet, at least; a record is drawn as a whole
_KEPT = 64  # records in memory, of which those on the sheet are chosen

# What one record gives: rows of the sheet, and what is wrong with it.
Found = tuple[list[contact_sheet.Row], list[str]]


def sources() -> str:
  """What sources there are, and how to look at one."""
  lines = ['The sources that can be looked at, of data/sources/:']
  for name in filter(_takes_words, source_lib.names()):
    lines += ['', f'{name}: {source_lib.about(name)}']
    for needed in _commands(name):
      options = ','.join(f'{key}={key.upper()}' for key in needed)
      word = f'{name}:{options}' if options else name
      lines.append(f'  python -m data.inspect {word}')
  return '\n'.join(
    [
      *lines,
      '',
      'More options are those of make() in data/sources/NAME: '
      'NAME:OPTION=VALUE,OPTION=VALUE',
    ]
  )


def _takes_words(name: str) -> bool:
  """Whether all that a source must be told is text."""
  return all(kind is str for kind in _needed(name).values())


def _commands(name: str) -> list[list[str]]:
  """The options that a command must have; of some sources one of several."""
  one_of = source_lib.needs_one_of(name)
  needed = list(_needed(name))
  return [[*needed, option] for option in one_of] if one_of else [needed]


def _needed(name: str) -> dict[str, Any]:
  known = source_lib.without_recipe(name)
  needed = source_lib.needed(name)
  return {key: kind for key, kind in needed.items() if key not in known}


def describe(path: Path) -> str:
  """What an ingested folder says of itself."""
  manifest = shards.manifest(path)
  frames = shards.open_shards(path).index['frames']
  lines = [
    f'{path}: fingerprint {manifest["fingerprint"]}',
    f'  {told.count("video", manifest["videos"])}, '
    f'{told.count("record", manifest["records"])}, '
    f'{told.count("shard", len(manifest["shards"]))}',
    f'  {manifest["seconds"] / 3600:.3f} hours, '
    f'{told.count("frame", manifest["frames"])} '
    '(those in two records count twice)',
    f'  {manifest["bytes"] / 1e6:.1f} MB, '
    f'{manifest["bytes"] / len(frames) / 1e3:.0f} kB per record',
    f'  frames per record: {frames.min()} to {frames.max()}, '
    f'median {np.median(frames):.0f}',
    '  recipe: ' + ', '.join(f'{k}={v}' for k, v in manifest['recipe'].items()),
  ]
  lines += [
    f'  {line}' for line in told.lines(manifest['told'], manifest['pictures'])
  ]
  refused, damaged = shards.quarantine(path)
  lines.append(f'  {told.count("file", len(refused))} refused')
  reasons = Counter(row['reason'].split(':')[0] for row in refused)
  lines += [f'    {n} x {reason}' for reason, n in reasons.most_common(10)]
  if damaged:
    lines.append(
      f'  {manifest["lost"]:.1f} s of {told.count("file", len(damaged))} left '
      'out: damaged or missing'
    )
  return '\n'.join(lines)


def read_folder(path: Path, rows: Sequence[int]) -> Iterator[Found]:
  """Decodes all frames of these records of an ingested folder."""
  folder = shards.open_shards(path)
  for row in _followed(str(path), rows):
    try:
      found = record.parse(folder.read(row))
      frames = video.decode(found, np.arange(found.frames))
    except source_lib.BadRecord as error:
      yield [], [f'record {row}: {error}']
      continue
    shown = [
      frames[i]
      for i in contact_sheet.spread(found.frames, contact_sheet.COLUMNS)
    ]
    box = transforms.Box(0, 0, found.height, found.width)
    width = max(1, round(contact_sheet.HEIGHT * found.width / found.height))
    caption = (
      f'{row}: {found.name} from {float(found.start / found.fps):.1f} s, '
      f'{found.width} x {found.height}, {float(found.fps):.3g} fps, '
      f'{told.count("frame", found.frames)}'
    )
    yield [(caption, video.render(shown, box, contact_sheet.HEIGHT, width))], []


def read_source(
  name: str, options: Mapping[str, Any], splits: Sequence[str], records: int
) -> Iterator[Found]:
  """Reads and checks records of each of the splits that the source has.

  Args:
    name: of the source.
    options: of its make().
    splits: to try.
    records: of each split, evenly spread; 0: all.

  Raises:
    ValueError: none of the splits can be made.
  """
  errors, printed = {}, {}
  for split in splits:
    try:
      source = source_lib.make(name, split, **options)
    except (ValueError, FileNotFoundError) as error:
      errors[split] = str(error)
      continue
    _say_lacking(errors)
    console.say(f'  {split}: {told.count("record", len(source))}')
    names = getattr(source, 'names', ())
    for reason, count in getattr(source, 'excluded', {}).items():
      if count:
        console.say(f'    left out: {count} x {reason}')
    chosen = contact_sheet.spread(len(source), records or len(source))
    short = 0
    for index in _followed(f'{name} {split}', chosen):
      try:
        with transforms.repeats() as heard:
          found = source.read(index, np.random.default_rng(index))
      except source_lib.BadRecord as error:
        yield [], [f'{split} {index}: {error}']
        continue
      short += any(heard[-1:])
      shapes = {k: f'{v.dtype} {list(np.shape(v))}' for k, v in found.items()}
      if shapes != printed:
        printed = shapes
        for key, shape in shapes.items():
          console.say(f'    {key}: {shape}')
      faults = [f'{split} {index}: {why}' for why in check.faults(found)]
      yield (
        []
        if faults
        else contact_sheet.rows_of(f'{split} {index}', found, names),
        faults,
      )
    if short:
      console.say(
        f'    short: {told.count("record", short)} of {len(chosen)}, whose '
        'last frame is repeated to fill the clip'
      )
  if len(errors) < len(splits):
    _say_lacking(errors)
  elif len({*errors.values()}) > 1:
    _say_lacking({split: errors[split] for split in splits[:-1]})
  if len(errors) == len(splits):
    error = errors[splits[-1]]
    raise ValueError(f'{name} has none of {", ".join(splits)}: {error}')


def _say_lacking(errors: dict[str, str]) -> None:
  """Says why splits cannot be made, and forgets it."""
  for split, error in errors.items():
    console.say(f'  {split}: none ({error})')
  errors.clear()


def _followed(what: str, numbers: Sequence[int]) -> Iterator[int]:
  """Each number of a record, and shows how many are done."""
  with console.progress(what, len(numbers), 'record', leave=False) as bar:
    for number in numbers:
      yield number
      bar.update(1)


def parse(text: str) -> tuple[str, dict[str, Any]]:
  """Name and options of a source, 'NAME:key=value,key=value'.

  Values are read as `data.source.typed` says.

  Raises:
    ValueError: a path, no such source or option (the nearest is named), one
      that is missing, or a value of another type.
  """
  name, _, rest = text.partition(':')
  if is_path(text):
    raise ValueError(
      f'{text} is a path, expected a source: name that of what lies there, as '
      f'videos:path={text} of what data.ingest wrote'
    )
  options = {
    'keys': source_lib.keys_of(name),
    **source_lib.without_recipe(name),
  }
  if not _takes_words(name):
    raise ValueError(
      f'{name} cannot be looked at by itself: it needs '
      f'{", ".join(source_lib.needed(name))} of a config'
    )
  for item in rest.split(',') if rest else ():
    key, equals, value = item.partition('=')
    if not equals:
      raise ValueError(f'{name}: {item!r} has no value: write {item}=VALUE')
    options[key] = value
  typed = source_lib.typed(name, options)
  if any(not {*each} - typed.keys() for each in _commands(name)):
    return name, typed
  words = [
    f'{name}:' + ','.join(f'{key}={key.upper()}' for key in each)
    for each in _commands(name)
  ]
  raise ValueError(f'{text}: {name} needs more: write {" or ".join(words)}')


def is_path(text: str) -> bool:
  """Whether it is none of a source, but a path of a disk or of a store."""
  name = text.partition(':')[0]
  return not name.isidentifier() or not files.is_local(text)


def inspect(
  data: str, split: str, records: int, out: pathlib.Path | None
) -> Mapping[str, Any]:
  """Prints, checks and draws; returns {'checked', 'bad', 'picture'}.

  Args:
    data: an ingested folder, or a source and its options.
    split: of a source; '' for all that it has.
    records: to read (of each split); 0: all.
    out: the picture.

  Raises:
    ValueError: neither an ingested folder nor a source, or a picture that
      cannot be written.
  """
  path = remote.path(data)
  if path.is_dir():
    if not (path / shards.MANIFEST).is_file():
      if advice := mistaken.advice(path, shards.MANIFEST, shards.PLAN):
        raise ValueError(f'{path} has no {shards.MANIFEST}: {advice}')
      raise ValueError(
        f'{path} has no {shards.MANIFEST}: data.ingest did not write it, or '
        'has not finished. If it is of another data set, name its source, as '
        f'SOURCE:path={path} (without words, data.inspect lists them)'
      )
    # That of a store is drawn here.
    is_here = isinstance(path, pathlib.Path)
    out = out or (path if is_here else pathlib.Path()) / shards.CONTACT
    print(describe(path))
    total = len(shards.open_shards(path).index['frames'])
    found = read_folder(path, contact_sheet.spread(total, records or total))
  elif is_path(data):
    where = ' in the store' if isinstance(path, remote.Remote) else ''
    raise ValueError(
      f'{data}: there is no such file or folder{where}: expected a video, a '
      'folder of data.ingest, or a source, as world or tapvid:path=FILE'
    )
  else:
    name, options = parse(data)
    out = out or pathlib.Path(f'contact-{name}.png')
    print(f'{data}')
    splits = (split,) if split else SPLITS
    found = read_source(name, options, splits, records)
  if not out.absolute().parent.is_dir() or not cv2.haveImageWriter(str(out)):
    raise ValueError(
      f'--out={out} must be a picture in a folder that there is, as sheet.png'
    )
  kept, step, good, bad, checked = [], 1, 0, [], 0
  for drawn, faults in found:
    checked += 1
    bad += faults
    if not drawn:
      continue
    # Every record, or if there are many each 2nd, 4th ...: memory is bounded.
    if good % step == 0:
      kept.append(drawn)
    if len(kept) > _KEPT:
      kept, step = kept[::2], 2 * step
    good += 1
  rows = _spread_rows(kept)
  print(
    f'  {told.count("record", checked)} read, {told.count("fault", len(bad))}'
  )
  for fault in bad:
    print(f'    {fault}')
  if rows:
    if not cv2.imwrite(str(out), contact_sheet.captioned(rows)[..., ::-1]):
      raise OSError(f'--out={out} cannot be written')
    print(f'  contact sheet: {out}')
  return {'checked': checked, 'bad': bad, 'picture': out if rows else None}


def _spread_rows(
  records: Sequence[list[contact_sheet.Row]],
) -> list[contact_sheet.Row]:
  """The rows of as many records as the sheet has room for, evenly spread."""
  if not records:
    return []
  room = math.ceil(_ROWS / len(records[0]))
  chosen = contact_sheet.spread(len(records), room)
  return [row for number in chosen for row in records[number]]
