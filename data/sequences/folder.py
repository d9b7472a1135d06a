"""Folders of pictures of frames, and of the numbers of their pixels."""

import dataclasses
import io
from collections.abc import Sequence as Listed
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from data import pictures, remote, require
from data.formats import picture
from data.remote import Path
from data.source import BadRecord


@runtime_checkable
class Sequence(Protocol):
  """A sequence; which labels it has besides says its reader."""

  name: str

  def __len__(self) -> int:
    """Frames."""

  def video(self, begin: int, end: int) -> UInt8[np.ndarray, 't h w 3']:
    """Some of its frames, as stored.

    Raises:
      BadRecord: a picture is damaged, or not of the size of the others.
    """


@dataclasses.dataclass(frozen=True)
class Pictures:
  """A `Sequence` of which each frame is a file."""

  name: str
  files: tuple[Path, ...]

  def __len__(self) -> int:
    return len(self.files)

  def video(self, begin: int, end: int) -> UInt8[np.ndarray, 't h w 3']:
    """Some of its frames, as stored.

    Raises:
      BadRecord: a picture is damaged, or not of the size of the others.
    """
    return pictures.stack([_read(file) for file in self.files[begin:end]])


@dataclasses.dataclass(frozen=True)
class Segmented(Pictures):
  """With a number for each pixel of each frame."""

  labels: tuple[Path, ...]

  def segmentation(self) -> UInt8[np.ndarray, 't h w']:
    """The numbers, as stored.

    Raises:
      BadRecord: a picture is damaged, of colours, or of another size.
    """
    found = [numbers(file) for file in self.labels]
    size = _read(self.files[0]).shape[:2]
    for file, each in zip(self.labels, found):
      if each.shape != size:
        raise BadRecord(
          f'{file} is of {each.shape[0]} x {each.shape[1]} pixels, its picture '
          f'of {size[0]} x {size[1]}: expected labels of the same release'
        )
    return np.stack(found)


def _read(file: Path) -> UInt8[np.ndarray, 'h w 3']:
  try:
    return pictures.decode(file.read_bytes())
  except (BadRecord, OSError) as error:
    raise BadRecord(f'{file}: {error}: copy it again') from error


def numbers(file: Path) -> UInt8[np.ndarray, 'h w']:
  """A picture of numbers: the indices of a palette, or levels of grey.

  Raises:
    BadRecord: not a picture, or one of colours.
  """
  try:
    data = file.read_bytes()
    picture.decode(data, 0)  # whether it is one, and not too large
    # OpenCV gives the colours of a palette, not the numbers.
    with Image.open(io.BytesIO(data)) as found:
      mode, values = found.mode, np.asarray(found)
  except (BadRecord, OSError, UnidentifiedImageError) as error:
    raise BadRecord(f'{file}: {error}: copy it again') from error
  if mode not in ('P', 'L'):
    raise BadRecord(
      f'{file} is a picture of mode {mode}, expected labels as the indices of '
      'a palette (P) or levels of grey (L): those of another folder, or stored '
      'anew by a program that made colours of them'
    )
  return values


def listed(who: str, file: Path) -> list[str]:
  """The first word of each line of a list of sequences.

  Raises:
    ValueError: no such file, or an empty one.
  """
  if not file.is_file():
    raise ValueError(
      f'{who}: {file} is missing: give the folder as published, which holds it'
    )
  names = [
    line.split()[0]
    for line in require.text(who, file).splitlines()
    if line.strip()
  ]
  if not names:
    raise ValueError(f'{who}: {file} names no sequence: copy it again')
  twice = sorted({name for name in names if names.count(name) > 1})
  if twice:
    raise ValueError(f'{who}: {file} names {twice[0]!r} twice: mend the list')
  return names


def numbered(who: str, folder: Path, endings: Listed[str]) -> tuple[Path, ...]:
  """The pictures of a folder, in the order of their numbers.

  Raises:
    ValueError: none, or one whose name is no number.
  """
  found = []
  if folder.is_dir():
    found = [file for end in endings for file in folder.glob(f'*.{end}')]
  # Files as ._00000.jpg are of macOS, beside each that it copies.
  found = [file for file in found if not file.name.startswith('.')]
  if not found:
    raise ValueError(
      f'{who}: {folder} holds no {" or ".join(endings)}: expected the pictures '
      'of a sequence that the list names. A score of some of the sequences is '
      'another: copy it, or name it no longer'
    )
  for file in found:
    if not (file.stem.isascii() and file.stem.isdigit()):
      raise ValueError(
        f'{who}: {file} is not a number, as names of frames are: remove it'
      )
  return tuple(sorted(found, key=lambda file: int(file.stem)))


def segmented(who: str, name: str, images: Path, labels: Path) -> Segmented:
  """A sequence of two folders, with a picture of labels for each frame.

  Raises:
    ValueError: a folder is missing, or frames of one are not in the other.
  """
  frames = numbered(who, images, ('jpg', 'png'))
  numbers = numbered(who, labels, ('png',))
  ours, theirs = ({int(x.stem) for x in files} for files in (frames, numbers))
  if ours != theirs:
    other = min(ours ^ theirs)
    where = labels if other in ours else images
    raise ValueError(
      f'{who}: frame {other} of {name} is not in {where}: expected '
      f'{len(frames)} pictures with a label each, found {len(numbers)}'
    )
  if len(frames) < 2:
    raise ValueError(
      f'{who}: {images} has one frame, and labels are carried to a second: '
      'copy it again'
    )
  return Segmented(name, frames, numbers)


def root(who: str, path: str) -> Path:
  """The folder of a benchmark.

  Raises:
    ValueError: it does not exist.
  """
  if not path:
    raise ValueError(f'{who}: give its folder, --path=DIR')
  folder = remote.path(path)
  if not folder.is_dir():
    raise ValueError(
      f'{who}: --path={path} is no folder: give the one as published'
    )
  return folder
