"""Kinetics, and any list of videos with classes.

A list is read by what is in it:

* the csv of Kinetics (Kay et al., arXiv 1705.06950), whose first line is
  `label,youtube_id,time_start,time_end,split`; a video is
  YOUTUBEID_START_END.mp4, with six digits each, anywhere below VIDEOS;
* lines of `path number`, as VideoMAE and V-JEPA have them; a path is relative
  to VIDEOS, or absolute and below it (with videos='/' it may be anywhere).

Both may have tabs for what is between, and blank lines.
"""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from data import classified, remote, require, splits
from data.remote import Path

KEYS = classified.KEYS
_COLUMNS = {'label', 'youtube_id', 'time_start', 'time_end'}
_LINE = 1000  # characters of the first line that are looked at
# A path, and the number of a class, which spreadsheets write as 3.0.
_ROW = re.compile(r'(.*\S)\s+(\d{1,6})(?:\.0*)?')
# A folder of frames, and how many they are.
_FRAMES = re.compile(r'(.*\S)\s+\d+')


def make(
  split: str,
  *,
  path: str,
  videos: str = '',
  names: str = '',
  keys: Sequence[str],
  frames: int = 16,
  height: int = 224,
  width: int = 224,
  stride: Sequence[int] = (4, 4),
  clips: int = 1,
  crops: int = 1,
  scale: Sequence[int | float] = (0.3, 1.0),
  aspect: Sequence[int | float] = (3 / 4, 4 / 3),
  flip: int | float = 0.5,
  train: str = 'train.csv',
  validation: str = '',
  test: str = 'val.csv',
  validation_fraction: int | float = 0.05,
) -> classified.Classified:
  """Clips of the videos of a split; see `classified.Classified`.

  Listed videos that are not on disk are left out (`excluded` counts them): many
  have gone from the web.

  Args:
    split: 'train', 'validation' or 'test'.
    path: the folder with the lists.
    videos: the folder with the videos, below `path` or absolute.
    names: file below `path` with the name of a class per line, in order; ''
      if they are the names in the list for training, sorted. A list of `path
      number` needs none.
    keys: of the record, among KEYS.
    frames, height, width, stride, clips, crops, scale, aspect, flip: see
      `data.views.make`.
    train: the list of this split, below `path`.
    validation: as `train`; '' (ours): videos of `train`, by hash, that are
      then not trained on. Clips of one video of the web stay together.
    test: as `train`. Most copies have two splits, so that by default test is
      the published validation.
    validation_fraction: of the videos of `train`, if there is no list for
      validation.

  Raises:
    ValueError: a bad option, a list in another format, or no video.
  """
  require.one_of('kinetics', splits.SPLITS, split=split)
  list_of_split = splits.listed_in(
    split, train=train, validation=validation, test=test
  )
  lists, folder = remote.path(path), remote.path(path, videos)
  file = lists / list_of_split
  classes = []
  if _is_csv(file):
    classes = _names(lists / names if names else None, lists / train)
    listed = _csv_rows(file, folder, classes)
  else:
    listed = _list_rows(file, folder)
  on_disk = [row for row in listed if row[0] and row[0].is_file()]
  rows = splits.of_list(
    'kinetics',
    split,
    on_disk,
    [_video(file) for file, _ in on_disk],
    validation=validation,
    fraction=validation_fraction,
  )
  return classified.make(
    'kinetics',
    split,
    rows=rows,
    names=classes,
    excluded={f'video not in {folder}': len(listed) - len(on_disk)},
    keys=keys,
    frames=frames,
    height=height,
    width=width,
    stride=stride,
    clips=clips,
    crops=crops,
    scale=scale,
    aspect=aspect,
    flip=flip,
  )


def _video(file: Path) -> str:
  """What a clip is of, without its times, if its name has any."""
  return re.sub(r'_\d{6}_\d{6}$', '', file.stem)


def _is_csv(file: Path) -> bool:
  if not file.is_file():
    raise ValueError(
      f'kinetics: {file} is missing: put the list there, or name another with '
      'train=, validation= or test='
    )
  return set(_header(file)) >= _COLUMNS


def _header(file: Path) -> list[str]:
  with file.open(encoding='utf-8-sig', errors='replace') as opened:
    line = opened.readline(_LINE).strip()
  return line.split(_between(line))


def _between(line: str) -> str:
  return '\t' if '\t' in line else ','


def _entries(file: Path) -> list[dict[str, str]]:
  text = require.text('kinetics', file)
  between = _between(text.partition('\n')[0])
  reader = csv.DictReader(io.StringIO(text), delimiter=between)
  try:
    entries = [row for row in reader if any(map(_is_told, row.values()))]
  except csv.Error as error:
    raise ValueError(
      f'kinetics: {file} is not a csv ({error}): it is damaged, or another '
      'file; copy it again'
    ) from error
  for entry in entries:
    if None in (entry[column] for column in _COLUMNS):
      raise ValueError(
        f'kinetics: an entry of {file} is {[*entry.values()]}, expected '
        f'{", ".join(reader.fieldnames)}: copy it again'
      )
  return entries


def _is_told(value: str | list[str] | None) -> bool:
  """Whether a cell holds anything; what is beyond the columns is a list."""
  return bool(value and ''.join(value).strip())


def _names(file: Path | None, train: Path) -> list[str]:
  if file:
    return require.text('kinetics', file).rstrip().splitlines()
  if not _is_csv(train):
    raise ValueError(
      f'kinetics: {train} does not name classes: name a file that does with '
      'names=, or a csv with train='
    )
  return sorted({entry['label'] for entry in _entries(train)})


def _csv_rows(
  file: Path, folder: Path, classes: Sequence[str]
) -> list[tuple[Path | None, int]]:
  """(file, class) of each entry; None where there is no such file."""
  number = {name: index for index, name in enumerate(classes)}
  found = {each.name: each for each in remote.files_below(folder)}
  rows = []
  for entry in _entries(file):
    if entry['label'] not in number:
      raise ValueError(
        f'kinetics: class {entry["label"]!r} in {file} is not one of the '
        f'{len(classes)} for training: give all of them with names='
      )
    try:
      start, end = (int(float(entry[f'time_{x}'])) for x in ('start', 'end'))
    except (ValueError, OverflowError) as error:
      raise ValueError(
        f'kinetics: video {entry["youtube_id"]!r} in {file} has times that are '
        f'no seconds ({error}): copy it again'
      ) from error
    name = f'{entry["youtube_id"]}_{start:06}_{end:06}.mp4'
    rows.append((found.get(name), number[entry['label']]))
  return rows


def _list_rows(file: Path, folder: Path) -> list[tuple[Path | None, int]]:
  rows = []
  for number, line in enumerate(require.text('kinetics', file).splitlines(), 1):
    found = _ROW.fullmatch(line.strip())
    if found:
      place, label = found.groups()
      one = require.below('kinetics', folder, place, file)
      _refuse_frames(one, place, f'line {number} of {file}')
      rows.append((one, int(label)))
    elif line.strip():
      raise ValueError(
        f'kinetics: line {number} of {file} is {line!r}, expected `path '
        'number` (of 6 digits at most), or a csv of Kinetics with its first '
        'line'
      )
  return rows


def _refuse_frames(file: Path, place: str, line: str):
  """Rows of three columns, which VideoMAE has for folders of frames."""
  found = _FRAMES.fullmatch(place)
  if found and not file.is_file() and not PurePosixPath(found[1]).suffix:
    raise ValueError(
      f'kinetics: {line} lists a folder of frames, how many, and a class: '
      'frames in folders are not read; list videos, as `path number`'
    )
