"""Kinetics, and any list of videos with classes.

A list is read by what is in it:

* the csv of Kinetics (Kay et al., arXiv 1705.06950), whose first line is
  `label,youtube_id,time_start,time_end,split`; a video is
  YOUTUBEID_START_END.mp4, with six digits each, anywhere below VIDEOS;
* lines of `path number`, as VideoMAE and V-JEPA have them, or `path,number`; a
  path is relative to VIDEOS, or absolute and below it (with videos='/' it may
  be anywhere).

Both may have tabs for what is between, quotes, and blank lines.
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
_BETWEEN = ',\t;'  # what may be between the columns of a csv
_LINE = 1000  # characters of the first line that are looked at
# A path, and the number of a class, which spreadsheets write as 3.0.
_ROW = re.compile(r'(.*[^\s,])(?:\s*,\s*|\s+)(\d{1,6})(?:\.0*)?')
# A folder of frames, and how many they are; or a video, and another class.
_TWO = re.compile(r'(.*[^\s,])(\s*,\s*|\s+)\d+')


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
      number` needs none; where it is given, no number may be beyond it.
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
  file = remote.path(lists, list_of_split)
  classes = _names(remote.path(lists, names)) if names else []
  entries = _entries(file)
  if entries is None:
    listed = _list_rows(file, folder, classes)
  else:
    classes = classes or _names_in(remote.path(lists, train))
    listed = _csv_rows(entries, file, folder, classes)
  if not listed:
    raise ValueError(f'kinetics: {file} lists no video: copy it again')
  on_disk = _on_disk(listed, file)
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


def _on_disk(
  listed: Sequence[tuple[Path | None, int]], file: Path
) -> list[tuple[Path, int]]:
  """The rows of a list whose video is there."""
  found = []
  for row in listed:
    video, _ = row
    if video and video.is_file():
      found.append(row)
    elif video and video.is_dir():
      raise ValueError(
        f'kinetics: {file} lists the folder {video}: frames in folders are not '
        'read; list videos, as `path number`'
      )
  return found


def _video(file: Path) -> str:
  """What a clip is of, without its times, if its name has any."""
  return re.sub(r'_\d{6}_\d{6}$', '', file.stem)


def _entries(file: Path) -> list[dict[str, str]] | None:
  """The rows of a csv of Kinetics, by column; None: it is another list."""
  if not file.is_file():
    raise ValueError(
      f'kinetics: {file} is missing: put the list there, or name another with '
      'train=, validation= or test='
    )
  text = require.text('kinetics', file).lstrip()
  first = text.partition('\n')[0][:_LINE]
  for between in _BETWEEN:
    options = {'delimiter': between, 'skipinitialspace': True}
    head = [cell.strip() for cell in next(csv.reader([first], **options), ())]
    if {*head} >= _COLUMNS:
      break
    if _COLUMNS - {*head} == {'label'}:
      raise ValueError(
        f'kinetics: {file} has no column label: a list without classes, as the '
        'published one of the test split. Name one that has.'
      )
  else:
    return None
  entries = []
  try:
    _, *rows = csv.reader(io.StringIO(text), **options)
  except csv.Error as error:
    raise ValueError(
      f'kinetics: {file} is not a csv ({error}): it is damaged, or another '
      'file; copy it again'
    ) from error
  for row in rows:
    cells = [cell.strip() for cell in row]
    entry = dict(zip(head, cells))
    if not any(cells):
      continue
    if not entry.keys() >= _COLUMNS or not entry['label']:
      raise ValueError(
        f'kinetics: an entry of {file} is {row}, expected {", ".join(head)}: '
        'copy it again'
      )
    entries.append(entry)
  return entries


def _names(file: Path) -> list[str]:
  """A name per line: its number is the class."""
  names: dict[str, None] = {}
  lines = require.text('kinetics', file).rstrip().split('\n')
  for number, name in enumerate(map(str.strip, lines), 1):
    if not name or name in names:
      what = f'{name!r} again' if name else 'blank'
      raise ValueError(
        f'kinetics: line {number} of {file} is {what}, and the number of a '
        'line is that of a class: mend it'
      )
    names[name] = None
  return [*names]


def _names_in(train: Path) -> list[str]:
  """Those of the list for training."""
  entries = _entries(train)
  if entries is None:
    raise ValueError(
      f'kinetics: {train} does not name classes: name a file that does with '
      'names=, or a csv with train='
    )
  return sorted({entry['label'] for entry in entries})


def _csv_rows(
  entries: Sequence[dict[str, str]],
  file: Path,
  folder: Path,
  classes: Sequence[str],
) -> list[tuple[Path | None, int]]:
  """(file, class) of each entry; None where there is no such file."""
  number = {name: index for index, name in enumerate(classes)}
  found: dict[str, Path] = {}
  for each in remote.files_below(folder):
    other = found.setdefault(each.name, each)
    # Of copies the same one on all machines, whose folders are in any order.
    if each is not other and each < other:
      found[each.name] = each
  rows = []
  for entry in entries:
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


def _list_rows(
  file: Path, folder: Path, classes: Sequence[str]
) -> list[tuple[Path, int]]:
  rows = []
  text = require.text('kinetics', file)
  for number, line in enumerate(text.split('\n'), 1):
    found, where = _ROW.fullmatch(line.strip()), f'line {number} of {file}'
    if found:
      place, label = _unquoted(found[1]), int(found[2])
      one = require.below('kinetics', folder, place, file)
      _refuse_others(one, folder, place, where)
      if classes and label >= len(classes):
        raise ValueError(
          f'kinetics: {where} has class {label}, and names= tells '
          f'{len(classes)}, from 0 on: mend one of them'
        )
      rows.append((one, label))
    elif line.strip():
      raise ValueError(
        f'kinetics: {where} is {line!r}, expected `path number` (of 6 digits '
        'at most), or a csv of Kinetics with its first line'
      )
  return rows


def _unquoted(place: str) -> str:
  """A path with spaces, as who writes csv does."""
  if len(place) > 1 and place[0] == place[-1] == '"':
    return place[1:-1].replace('""', '"')
  return place


def _refuse_others(file: Path, folder: Path, place: str, line: str):
  """Rows of three columns, as other code has them.

  VideoMAE's are of folders of frames, how many they are, and a class; those of
  others of a video and several classes.
  """
  found = _TWO.fullmatch(place)
  if not found or file.is_file():
    return
  shorter, has_comma = folder / _unquoted(found[1]), ',' in found[2]
  is_like = not has_comma and not PurePosixPath(found[1]).suffix
  if is_like or shorter.is_dir():
    raise ValueError(
      f'kinetics: {line} lists a folder of frames, how many, and a class: '
      'frames in folders are not read; list videos, as `path number`'
    )
  if has_comma or shorter.is_file():
    raise ValueError(
      f'kinetics: {line} has two numbers behind a path: a video has one class; '
      'list videos, as `path number`'
    )
