"""Something-Something v2: what hands do with things, 174 classes.

PATH holds the lists as published: labels.json has the number of each class;
train.json and validation.json have an entry per video, whose template is the
name of its class with placeholders in [brackets]. In an older release each
name is something-something-v2-NAME. Videos are VIDEOS/ID.webm
(Goyal et al., arXiv 1706.04261).
"""

from collections.abc import Sequence
from typing import Any

from base import jsons
from data import classified, remote, require, splits
from data.remote import Path

KEYS = classified.KEYS
_REMEDY = 'copy it again'
_OTHER = 'lists of `path number` are read by the source kinetics, with flip=0'


def make(
  split: str,
  *,
  path: str,
  videos: str = '20bn-something-something-v2',
  keys: Sequence[str],
  frames: int = 16,
  height: int = 224,
  width: int = 224,
  stride: Sequence[int] = (2, 2),
  clips: int = 1,
  crops: int = 1,
  scale: Sequence[int | float] = (0.3, 1.0),
  aspect: Sequence[int | float] = (3 / 4, 4 / 3),
  train: str = 'train.json',
  validation: str = '',
  test: str = 'validation.json',
  validation_fraction: int | float = 0.05,
) -> classified.Classified:
  """Clips of the videos of a split; see `classified.Classified`.

  Clips are never mirrored: some classes differ in left and right only. Listed
  videos that are not on disk are left out (`excluded` counts them).

  Args:
    split: 'train', 'validation' or 'test'.
    path: the folder with the lists.
    videos: the folder with the videos, below `path` or absolute.
    keys: of the record, among KEYS.
    frames, height, width, stride, clips, crops, scale, aspect: see
      `data.views.make`. Videos have 12 frames in a second.
    train: the list of this split, below `path`.
    validation: as `train`; '' (ours): videos of `train`, by hash, that are
      then not trained on.
    test: as `train`; the published one has no classes, so that by default
      test is the published validation.
    validation_fraction: of the videos of `train`, if there is no list for
      validation.

  Raises:
    ValueError: a bad option, a list in another format, or no video.
  """
  require.one_of('ssv2', splits.SPLITS, split=split)
  listed = splits.listed_in(
    split, train=train, validation=validation, test=test
  )
  lists, folder = remote.path(path), remote.path(path, videos)
  file = _listed(lists, listed)
  classes = _classes(_listed(lists, 'labels.json'))
  names = sorted(classes, key=classes.get)
  on_disk = {file.stem for file in folder.glob('*.webm')}
  rows, missing = [], 0
  for entry in _load(file, [dict], f'{_REMEDY}; {_OTHER}'):
    label = _label(entry, classes, file)
    if str(entry['id']) in on_disk:
      rows.append((folder / f'{entry["id"]}.webm', label))
    else:
      missing += 1
  rows = splits.of_list(
    'ssv2',
    split,
    rows,
    [file.stem for file, _ in rows],
    validation=validation,
    fraction=validation_fraction,
  )
  return classified.make(
    'ssv2',
    split,
    rows=rows,
    names=names,
    excluded={f'video not in {folder}': missing},
    keys=keys,
    frames=frames,
    height=height,
    width=width,
    stride=stride,
    clips=clips,
    crops=crops,
    scale=scale,
    aspect=aspect,
    flip=0.0,
  )


def _listed(folder: Path, name: str) -> Path:
  """The list of this name, in either release."""
  file = remote.path(folder, name)
  older = file.parent / f'something-something-v2-{file.name}'
  return older if older.is_file() and not file.is_file() else file


def _classes(file: Path) -> dict[str, int]:
  """The number of each class."""
  found = _load(file, dict, _REMEDY)
  try:
    numbers = [float(number) for number in found.values()]
  except (ValueError, TypeError, OverflowError) as error:
    raise ValueError(
      f'ssv2: {file} has classes without a number ({error}): it is damaged, or '
      'another file; copy it again'
    ) from error
  if not numbers or sorted(numbers) != [*range(len(numbers))]:
    raise ValueError(
      f'ssv2: {file} has {len(numbers)} classes, whose numbers are not 0 to '
      f'{len(numbers) - 1}, each once: it is damaged, or another file; copy it '
      'again'
    )
  return dict(zip(found, map(int, numbers)))


def _load(file: Path, kind: Any, remedy: str):
  if not file.is_file():
    raise ValueError(
      f'ssv2: {file} is missing: put the published lists there, or name '
      'another with train=, validation= or test='
    )
  return jsons.read(file, kind, remedy)


def _label(entry: dict, classes: dict[str, int], file: Path) -> int:
  """The class of an entry: labels.json names it without the brackets."""
  jsons.expect(entry, {'id': object}, f'ssv2: an entry of {file}', _REMEDY)
  if 'template' not in entry:
    raise ValueError(
      f'ssv2: entry {entry["id"]} of {file} has no template: this list has '
      'no classes, as the published test.json. Name one that has.'
    )
  where = f'ssv2: entry {entry["id"]} of {file}'
  jsons.expect(entry, {'template': str}, where, _REMEDY)
  name = entry['template'].replace('[', '').replace(']', '')
  if name not in classes:
    raise ValueError(
      f'ssv2: {name!r}, class of video {entry["id"]} in {file}, is not one of '
      f'the {len(classes)} of the labels'
    )
  return classes[name]
