"""Segments of the Waymo Open Dataset, of both of its releases.

* 1: SEGMENT.tfrecord, a `Frame` (dataset.proto, label.proto) per record. Of
  it only the front camera's labels are taken; pictures and laser returns, most
  of the bytes, are not touched until a clip is read.
* 2: camera_image/SEGMENT.parquet and camera_box/SEGMENT.parquet, joined by
  time and camera; these need pyarrow.
"""

import dataclasses
import functools
import struct
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from data import remote
from data.formats import tfds, tfrecord
from data.remote import Path
from data.source import BadRecord

FRONT = 1  # CameraName
# Pixels of the front camera's pictures, in which its boxes are given.
HEIGHT, WIDTH = 1280, 1920
# Numbers of fields in the protocol buffers.
_TIMESTAMP, _IMAGES, _CAMERA_LABELS = 2, 4, 8  # of Frame
_NAME, _CONTENT = 1, 2  # of CameraImage and of CameraLabels
_BOX, _ID = 1, 4  # of Label
_CENTRE_X, _CENTRE_Y, _ALONG_Y, _ALONG_X = 1, 2, 4, 5  # of Box
_TIME, _CAMERA = 'key.frame_timestamp_micros', 'key.camera_name'
_PICTURE = '[CameraImageComponent].image'
_OBJECT = 'key.camera_object_id'
_SIDES = tuple(
  f'[CameraBoxComponent].box.{side}'
  for side in ('center.x', 'center.y', 'size.x', 'size.y')
)
_CELLS = 2**24  # objects times frames, at most
# What reading anything but a segment raises.
_DAMAGE = (
  OSError,
  RuntimeError,
  ValueError,
  TypeError,
  LookupError,
  struct.error,
)

# Time, object, and (centre x, centre y, size along x, size along y) in pixels.
Label = tuple[int, str, tuple[float, float, float, float]]


@dataclasses.dataclass(frozen=True)
class Segment:
  """Some 20 seconds of the front camera, ten frames in a second."""

  path: Path
  rows: Int[np.ndarray, 'n']  # of the file, with a frame each, in time
  boxes: Float[np.ndarray, 'o n 4']  # (ymin, xmin, ymax, xmax) in pixels
  present: Bool[np.ndarray, 'o n']  # which of them are labelled

  def pictures(self, frames: Sequence[int]) -> list[bytes]:
    """The JPEGs of these frames.

    Raises:
      BadRecord: the file is damaged or gone.
    """
    rows = self.rows[list(frames)].tolist()
    read = _table_pictures if _is_table(self.path) else _record_pictures
    try:
      return read(self.path, rows)
    except _DAMAGE as error:
      raise BadRecord(f'{self.path}: {error}') from error


@functools.lru_cache(maxsize=64)
def load(path: Path) -> Segment:
  """The segment in a .tfrecord, or in a .parquet of camera_image/.

  Raises:
    BadRecord: not such a file, or damaged; or pyarrow is missing.
  """
  try:
    if _is_table(path):
      times, labels = _table(path)
    else:
      times, labels = _records(path)
  except _DAMAGE as error:
    raise BadRecord(f'{path}: {error}') from error
  rows = np.array(sorted(times, key=times.get), np.int64)
  frame = {times[row]: number for number, row in enumerate(rows.tolist())}
  names = dict.fromkeys(name for _, name, _ in labels)
  place = {name: number for number, name in enumerate(names)}
  if len(names) * len(rows) > _CELLS:
    raise BadRecord(f'{path}: {len(names)} objects in {len(rows)} frames')
  boxes = np.zeros((len(names), len(rows), 4), np.float32)
  present = np.zeros(boxes.shape[:2], bool)
  for time, name, (x, y, along_x, along_y) in labels:
    # A label without a picture has nothing to be drawn on.
    if time in frame:
      middle, half = np.array([y, x]), np.array([along_y, along_x]) / 2
      at = place[name], frame[time]
      boxes[at] = np.concatenate([middle - half, middle + half])
      present[at] = True
  return Segment(path, rows, boxes, present)


def _is_table(path: Path) -> bool:
  return path.suffix == '.parquet'


def _records(path: Path) -> tuple[dict[int, int], list[Label]]:
  """Release 1: time of each record that has a front picture, and labels."""
  times, labels = {}, []
  for row, message in enumerate(tfrecord.views(path)):
    time, front = 0, False
    for number, value in tfds.fields(message):
      if number == _TIMESTAMP:
        time = value
      elif number == _IMAGES:
        front |= _is_front(value)
    if front:
      times[row] = time
      labels += [(time, *label) for label in _labels(message)]
  return times, labels


def _is_front(message: memoryview) -> bool:
  return any(n == _NAME and v == FRONT for n, v in tfds.fields(message))


def _labels(frame: memoryview) -> Iterator[tuple[str, tuple]]:
  """(object, sides) of each label of a frame's front camera."""
  for number, camera in tfds.fields(frame):
    if number != _CAMERA_LABELS or not _is_front(camera):
      continue
    for each, label in tfds.fields(camera):
      if each == _CONTENT:
        found = dict(tfds.fields(label))
        box = {
          n: struct.unpack('<d', v)[0] for n, v in tfds.fields(found[_BOX])
        }
        sides = box[_CENTRE_X], box[_CENTRE_Y], box[_ALONG_X], box[_ALONG_Y]
        yield bytes(found[_ID]).decode(), sides


def _record_pictures(path: Path, rows: Sequence[int]) -> list[bytes]:
  messages = list(tfrecord.views(path))
  found = []
  for row in rows:
    for number, value in tfds.fields(messages[row]):
      if number == _IMAGES and _is_front(value):
        found.append(bytes(dict(tfds.fields(value))[_CONTENT]))
  return found


def _table(path: Path) -> tuple[dict[int, int], list[Label]]:
  """Release 2: time of each row of a front picture, and labels."""
  taken = _columns(path, (_TIME, _CAMERA))
  times = {
    row: time
    for row, (time, camera) in enumerate(zip(*taken))
    if camera == FRONT
  }
  boxes = path.parent.parent / 'camera_box' / path.name
  labels = [
    (time, name, tuple(sides))
    for time, camera, name, *sides in zip(
      *_columns(boxes, (_TIME, _CAMERA, _OBJECT, *_SIDES))
    )
    if camera == FRONT
  ]
  return times, labels


def _columns(path: Path, names: Sequence[str]) -> list[list]:
  with remote.local(path) as copy, _parquet().ParquetFile(copy) as file:
    table = file.read(columns=list(names), use_threads=False)
  return [table.column(name).to_pylist() for name in names]


def _table_pictures(path: Path, rows: Sequence[int]) -> list[bytes]:
  """Goes through the groups of rows that hold these, some rows at a time."""
  found, start = {}, 0
  with remote.local(path) as copy, _parquet().ParquetFile(copy) as file:
    for group in range(file.num_row_groups):
      count = file.metadata.row_group(group).num_rows
      wanted = [row for row in rows if start <= row < start + count]
      row = start
      start += count
      if not wanted:
        continue
      for batch in file.iter_batches(
        16, row_groups=[group], columns=[_PICTURE], use_threads=False
      ):
        column = batch.column(0)
        found |= {
          each: column[each - row].as_py()
          for each in wanted
          if row <= each < row + len(column)
        }
        row += len(column)
  return [found[row] for row in rows]


def _parquet():
  try:
    from pyarrow import parquet
  except ModuleNotFoundError as error:
    raise ValueError(
      'waymo: release 2 is in parquet files, which need pyarrow: '
      'pip install pyarrow'
    ) from error
  return parquet
