"""Scans as ScanNet stores them: `.sens` files, and folders made from them.

Format of `.sens`, version 4, little endian (ScanNet, SensReader): version u32;
length u64 and name; intrinsics and extrinsics of the colour and of the depth
camera, each 4 x 4 f32; compression of colour and of depth, i32; width and
height of colour and of depth, u32; depth units in a metre, f32; frames u64.
Per frame: camera to world, 16 f32, row by row; times of colour and depth, u64;
bytes of colour and of depth, u64; the coded colour; the packed depth, u16.
"""

import dataclasses
import functools
import os
import re
import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int

from data import remote
from data.formats import picture
from data.remote import Path
from data.source import BadRecord

_NAME = struct.Struct('<IQ')
_HEADER = struct.Struct('<16f16f16f16fiiIIIIfQ')
_FRAME = struct.Struct('<16fQQQQ')
_COLOUR_CODED = (1, 2)  # PNG, JPEG
_DEPTH_RAW, _DEPTH_ZLIB = 0, 1
_DEPTH_PIXELS = 2**24  # at most; ScanNet's pictures have 640 x 480


class Frame(NamedTuple):
  """One frame of a scan."""

  colour: bytes  # JPEG or PNG
  depth: Float[np.ndarray, 'h w 1']  # metres along the axis; 0: unknown
  pose: Float[np.ndarray, '4 4']  # camera to world


@dataclasses.dataclass(frozen=True)
class Sens:
  """A `.sens` file."""

  path: Path
  intrinsics: Float[np.ndarray, '3 3']  # colour camera; +0.5 as data.source
  offsets: Int[np.ndarray, 'n']  # of the frames that have a pose
  depth_packed: int
  depth_size: tuple[int, int]  # height, width
  depth_units: float  # in a metre

  def __len__(self) -> int:
    """Frames that have a pose."""
    return len(self.offsets)

  def files(self, numbers: Sequence[int]) -> list[Path]:
    """Those that frames are in."""
    return [self.path]

  def frame(self, number: int) -> Frame:
    """Frame `number` of those with a pose."""
    with self.path.open('rb') as file:
      file.seek(self.offsets[number])
      *pose, _, _, colour_bytes, depth_bytes = _unpack(file, _FRAME)
      colour, depth = file.read(colour_bytes), file.read(depth_bytes)
    height, width = self.depth_size
    if self.depth_packed == _DEPTH_ZLIB:
      try:
        # No more than it may be: of a byte it could make a thousand.
        unpacker = zlib.decompressobj()
        depth = unpacker.decompress(depth, 2 * height * width + 1)
      except zlib.error as error:
        raise BadRecord(f'{self.path}: depth of a frame: {error}') from error
    if len(depth) != 2 * height * width:
      raise BadRecord(
        f'{self.path}: depth of a frame has {len(depth)} bytes, not those of '
        f'{height} x {width} pixels'
      )
    units = np.frombuffer(depth, '<u2').reshape(height, width, 1)
    return Frame(
      colour,
      (units / self.depth_units).astype(np.float32),
      np.float32(pose).reshape(4, 4),
    )


@dataclasses.dataclass(frozen=True)
class Exported:
  """A folder with color/, depth/, pose/ and intrinsic/."""

  path: Path
  intrinsics: Float[np.ndarray, '3 3']  # colour camera; +0.5 as data.source
  numbers: Int[np.ndarray, 'n']  # of the frames that have a pose

  def __len__(self) -> int:
    """Frames that have a pose."""
    return len(self.numbers)

  def files(self, numbers: Sequence[int]) -> list[Path]:
    """Those that frames are in."""
    return [file for n in numbers for file in self._files(n)]

  def _files(self, number: int) -> tuple[Path, Path, Path]:
    """Colour, depth and pose of a frame."""
    name = self.numbers[number]
    return (
      self.path / 'color' / f'{name}.jpg',
      self.path / 'depth' / f'{name}.png',
      self.path / 'pose' / f'{name}.txt',
    )

  def frame(self, number: int) -> Frame:
    """Frame `number` of those with a pose."""
    colour, file, pose = self._files(number)
    depth = picture.decode(file.read_bytes(), cv2.IMREAD_UNCHANGED)
    if depth.dtype != np.uint16 or depth.ndim != 2:
      raise BadRecord(f'{file} is not a picture of 16-bit depth')
    return Frame(
      colour.read_bytes(),
      # Exported depth is in millimetres, whatever the scan's units were.
      (depth[..., None] / 1000).astype(np.float32),
      _matrix(pose).astype(np.float32),
    )


@functools.lru_cache(maxsize=4096)
def load(path: Path) -> Sens | Exported:
  """The scan in a `.sens` file or an exported folder, without its pictures.

  Frames whose pose is not finite (tracking was lost) are not of it.

  Raises:
    BadRecord: not of this format, damaged, or without a frame with a pose.
  """
  scan = _exported(path) if path.is_dir() else _sens(path)
  if not len(scan):
    raise BadRecord(f'{path}: no frame has a finite pose')
  return scan


def _sens(path: Path) -> Sens:
  with path.open('rb') as file:
    version, length = _unpack(file, _NAME)
    if version != 4:
      raise BadRecord(f'{path}: version {version} of .sens; 4 is known')
    size = os.fstat(file.fileno()).st_size
    # A name has some letters; as far as a file goes, the header is missing.
    file.seek(min(length, size), 1)
    header = _unpack(file, _HEADER)
    colour_coded, depth_packed = header[64:66]
    width, height, units, frames = header[68:]
    if colour_coded not in _COLOUR_CODED or depth_packed not in (
      _DEPTH_RAW,
      _DEPTH_ZLIB,
    ):
      raise BadRecord(
        f'{path}: colour of kind {colour_coded} and depth of kind '
        f'{depth_packed}; known are {_COLOUR_CODED}, {_DEPTH_RAW, _DEPTH_ZLIB}'
      )
    if width * height > _DEPTH_PIXELS or not 0 < units < np.inf:
      raise BadRecord(
        f'{path}: depth of {height} x {width} pixels, {units} units in a metre'
      )
    offsets = []
    for _ in range(frames):
      offset = file.tell()
      *pose, _, _, colour_bytes, depth_bytes = _unpack(file, _FRAME)
      if file.tell() + colour_bytes + depth_bytes > size:
        raise BadRecord(f'{path}: ends within a frame')
      # Poses alone are read: a scan of thousands of frames is indexed at once.
      file.seek(colour_bytes + depth_bytes, 1)
      if np.isfinite(pose).all():
        offsets.append(offset)
  return Sens(
    path=path,
    intrinsics=_raster(np.reshape(header[:16], (4, 4))),
    offsets=np.array(offsets, np.int64),
    depth_packed=depth_packed,
    depth_size=(height, width),
    depth_units=units,
  )


def _exported(path: Path) -> Exported:
  names = [file.stem for file in path.glob('color/*.jpg')]
  other = sorted(name for name in names if not re.fullmatch(r'\d{1,9}', name))
  if other:
    raise BadRecord(f'{path}: color/{other[0]}.jpg, expected NUMBER.jpg')
  numbers = sorted(map(int, names))
  remote.bring(path / 'pose' / f'{number}.txt' for number in numbers)
  posed = [
    number
    for number in numbers
    if np.isfinite(_matrix(path / 'pose' / f'{number}.txt')).all()
  ]
  return Exported(
    path=path,
    intrinsics=_raster(_matrix(path / 'intrinsic' / 'intrinsic_color.txt')),
    numbers=np.array(posed, np.int64),
  )


def _raster(intrinsics: np.ndarray) -> Float[np.ndarray, '3 3']:
  """ScanNet counts from pixel centres: half a pixel to those of data.source."""
  moved = intrinsics[:3, :3].astype(np.float64)
  moved[:2, 2] += 0.5
  return moved


def _matrix(file: Path) -> Float[np.ndarray, '4 4']:
  try:
    return np.array(file.read_text().split(), float).reshape(4, 4)
  except (OSError, ValueError) as error:
    raise BadRecord(f'{file} is not a 4 x 4 matrix: {error}') from error


def _unpack(file, layout: struct.Struct) -> tuple:
  data = file.read(layout.size)
  if len(data) < layout.size:
    raise BadRecord(f'{file.name}: ends at byte {file.tell()}, in a header')
  return layout.unpack(data)
