"""What features.json of a folder says of the features of its records.

A feature's path is its names joined by '/', as in a record: 'video',
'steps/observation/image'. TensorFlow Datasets stores a Video, and an Image in a
Sequence or in the steps of an episode, as a list of encoded pictures.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from base import files

_REMEDY = 'copy it again'


class Described(NamedTuple):
  """One feature."""

  kind: str  # that of TensorFlow Datasets, as 'Video'
  lists: int  # how deep it is in sequences; a Video is one
  channels: int | None  # of pictures of 8 bits; None: no picture, or others
  classes: int | None  # of a label

  @property
  def is_video(self) -> bool:
    """Whether a record has a list of its pictures."""
    return self.channels is not None and self.lists == 1

  @property
  def is_label(self) -> bool:
    """Whether a record has one whole number of it."""
    return self.classes is not None and self.lists == 0


def described(path: str) -> dict[str, Described]:
  """The features of a folder, by path; none, if it has no features.json.

  Raises:
    ValueError: the file is damaged.
  """
  file = Path(path).expanduser() / 'features.json'
  if not file.is_file():
    return {}
  found = files.read_json(file, {'pythonClassName': str}, _REMEDY)
  try:
    return dict(_walk(found, (), 0))
  except (LookupError, TypeError, AttributeError, ValueError) as error:
    raise ValueError(
      f'{file} does not describe features ({error!r}): it is damaged, or of '
      f'another version; {_REMEDY}'
    ) from error


def class_names(path: str, feature: str) -> tuple[str, ...]:
  """The names of the classes of a label, if the folder has them."""
  name = f'{feature.replace("/", "-")}.labels.txt'
  file = Path(path).expanduser() / name
  if not file.is_file():
    return ()
  return tuple(file.read_text(encoding='utf-8').rstrip('\n').split('\n'))


def _walk(
  about: Mapping[str, Any], path: tuple[str, ...], lists: int
) -> Iterator[tuple[str, Described]]:
  if 'featuresDict' in about:
    for name, inner in about['featuresDict']['features'].items():
      yield from _walk(inner, (*path, name), lists)
    return
  kind = about['pythonClassName'].rpartition('.')[2]
  if 'sequence' in about:
    yield from _walk(about['sequence']['feature'], path, lists + 1)
    return
  channels = classes = None
  if 'video' in about or 'image' in about:
    is_video = 'video' in about
    shown = about['video' if is_video else 'image']
    lists += is_video
    if shown.get('dtype', 'uint8') == 'uint8':
      channels = int(shown['shape']['dimensions'][-1])
  elif 'classLabel' in about:
    classes = int(about['classLabel']['numClasses'])
  elif 'tensor' in about:
    about = about['tensor']
    is_number = not about.get('shape') and 'int' in about['dtype']
    classes = 0 if is_number else None  # it does not tell how many
  yield '/'.join(path), Described(kind, lists, channels, classes)
