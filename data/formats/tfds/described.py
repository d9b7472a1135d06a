"""What features.json of a folder says of the features of its records.

A feature's path is its names joined by '/', as in a record: 'video',
'steps/observation/image'. TensorFlow Datasets stores a Video, and an Image in a
Sequence or in the steps of an episode, as a list of encoded pictures; a Tensor
as numbers, or as bytes that may be packed.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from base import jsons
from data import remote

_REMEDY = 'copy it again'


@dataclasses.dataclass(frozen=True)
class Described:
  """One feature.

  Attributes:
    kind: that of TensorFlow Datasets, as 'Video'.
    lists: how deep it is in sequences; a Video is one.
    dtype: of pictures and numbers; '' of others.
    shape: of one, without the lists that it is in; 0: it varies.
    classes: of a label; 0: it does not tell how many; None: no label.
    coding: of pictures: 'file', as PNG and JPEG; of a Tensor: 'none', 'bytes'
      or 'zlib'; '' of others.
  """

  kind: str
  lists: int
  dtype: str = ''
  shape: tuple[int, ...] = ()
  classes: int | None = None
  coding: str = ''

  @property
  def whole(self) -> tuple[int, ...]:
    """Shape of all that a record has, if that is one list or none."""
    return (0,) * self.lists + self.shape

  @property
  def is_video(self) -> bool:
    """Whether a record has pictures of it that can be put into a row."""
    if self.dtype != 'uint8' or len(self.whole) != 4 or self.lists > 1:
      return False
    if self.coding == 'file':
      return self.lists == 1
    # Where two sides vary, a list of numbers does not tell them.
    told = self.coding in ('bytes', 'zlib') or self.whole.count(0) <= 1
    return self.coding != '' and told and self.shape[-1] in (1, 3)

  @property
  def is_label(self) -> bool:
    """Whether a record has one whole number of it."""
    return self.classes is not None and self.lists == 0

  def __str__(self) -> str:
    """In words, as 'Tensor of float32 [t 24 32 3]'."""
    words = ['*'] * self.lists + [f'{n or "*"}' for n in self.shape]
    sized = f' [{" ".join(words)}]' if words else ''
    return f'{self.kind} of {self.dtype}{sized}' if self.dtype else self.kind


def described(path: str) -> dict[str, Described]:
  """The features of a folder, by path; none, if it has no features.json.

  Raises:
    ValueError: the file is damaged.
  """
  file = remote.path(path) / 'features.json'
  if not file.is_file():
    return {}
  found = jsons.read(file, {'pythonClassName': str}, _REMEDY)
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
  file = remote.path(path) / name
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
  given = {}
  if 'video' in about or 'image' in about:
    is_video = 'video' in about
    shown = about['video' if is_video else 'image']
    lists += is_video
    # Of a Video the frames too; a shape that is not told has no dimensions.
    shape = _shape(shown)[is_video:] or (0, 0, 3)
    given = {'dtype': shown.get('dtype') or 'uint8', 'shape': shape}
    given['coding'] = 'file'
  elif 'classLabel' in about:
    given['classes'] = int(about['classLabel']['numClasses'])
  elif 'tensor' in about:
    about = about['tensor']
    given = {'dtype': about['dtype'], 'shape': _shape(about)}
    given['coding'] = about.get('encoding') or 'none'
    if not given['shape'] and 'int' in given['dtype']:
      given['classes'] = 0  # it does not tell how many
    elif not given['shape'] and given['dtype'] == 'bool':
      given['classes'] = 2
  yield '/'.join(path), Described(kind, lists, **given)


def _shape(about: Mapping[str, Any]) -> tuple[int, ...]:
  """Of a feature; 0 where it varies."""
  sizes = about.get('shape', {}).get('dimensions', ())
  return tuple(max(0, int(size)) for size in sizes)
