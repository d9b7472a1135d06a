"""Any data set of videos that TensorFlow Datasets has prepared.

PATH is the folder of a version, as .../ucf101/ucf101_1/2.0.0: its features.json
tells which feature is a video (a Video, a Sequence of Images, the Images of the
steps of an episode, as robot data has them, or a Tensor of uint8) and which are
labels. Records are read without TensorFlow; only DATASET, a name instead of
PATH, asks its package where the data are, or to prepare them.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt8

from data import pictures, require, splits, views
from data.formats import tfds
from data.remote import Path
from data.source import BadRecord, digest
from data.sources.tfds import feature, named

KEYS = ('video', 'label', 'video_id')
ONE_OF = ('path', 'dataset')  # where the data are


@dataclasses.dataclass(frozen=True)
class Tfds:
  """A `data.source.Source`: all views of the first record, then of the next.

  As `data.classified.Classified`, of records instead of files.
  """

  folder: tfds.Folder
  rows: Int[np.ndarray, 'n']  # records of the folder that are in the split
  video: str
  stored: tfds.Described | None  # how the video is; None: it is not told
  label: str
  classes: int
  names: tuple[str, ...]  # of the classes, where they are known
  keys: tuple[str, ...]
  views: views.Views  # of each record

  @property
  def fingerprint(self) -> str:
    """Of the names of the shards, their numbers of records, and the feature."""
    files = [file.name for file in self.folder.files]
    return digest(files, self.folder.ends, self.video)

  @property
  def is_fixed(self) -> bool:
    """Whether a record is always the same clip."""
    return not self.views.random

  def __len__(self) -> int:
    """Number of clips."""
    return len(self.rows) * len(self.views)

  def needs(self, index: int) -> tuple[Path, ...]:
    """The shard of a record."""
    return (self.folder.file(int(self.rows[index // len(self.views)])),)

  def read(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One clip, with the keys asked for.

    Raises:
      BadRecord: damaged, or without the features.
    """
    which, number = divmod(index, len(self.views))
    row = int(self.rows[which])
    record = {'video_id': np.array(row, np.int32)}
    try:
      data = self.folder.read(row)
      if 'label' in self.keys:
        (values,) = tfds.features(data, [self.label]).values()
        record['label'] = _label(values, self.classes)
      if 'video' in self.keys:
        frames = tfds.frames(data, self.video, self.stored)
        decode = functools.partial(_decoded, frames)
        record['video'] = self.views.read(number, len(frames), decode, rng)
    except (BadRecord, ValueError) as error:
      where = self.folder.files[0].parent
      raise BadRecord(f'record {row} of {where}: {error}') from error
    return {key: record[key] for key in self.keys}


def make(
  split: str,
  *,
  path: str = '',
  dataset: str = '',
  data_dir: str = '',
  prepare: bool = False,
  video: str = '',
  label: str = '',
  keys: Sequence[str],
  frames: int = 16,
  height: int = 224,
  width: int = 224,
  stride: Sequence[int] = (1, 1),
  clips: int = 1,
  crops: int = 1,
  scale: Sequence[int | float] = (0.5, 1.0),
  aspect: Sequence[int | float] = (3 / 4, 4 / 3),
  flip: int | float = 0.0,
  train: str = 'train',
  validation: str = '',
  test: str = 'test',
  validation_fraction: int | float = 0.05,
) -> Tfds:
  """Clips of a split; a record of the data set is a video.

  For training a random window, cut and flip; otherwise clips are spread evenly
  over the video and crops over the longer side of its picture.

  Args:
    split: 'train', 'validation' or 'test'.
    path: the folder of a version.
    dataset: instead of `path`, as 'ucf101/ucf101_1:2.0.0': what the package
      tensorflow-datasets calls it.
    data_dir: where that has its data sets; '' for its own default.
    prepare: whether it may download and prepare `dataset` where it is missing.
    video: path of the feature that is the video, as 'steps/observation/image';
      '' if there is only one (of three channels).
    label: path of the feature that is the class; '' if only one is a
      ClassLabel. Another number must be named.
    keys: of the record, among KEYS.
    frames, height, width, stride, clips, crops, scale, aspect, flip: see
      `data.views.make`. How many frames there are in a second differs by data
      set.
    train: the data set's own name of this split.
    validation: as `train`; '' (ours): records of `train`, by hash, that are
      then not trained on.
    test: as `train`.
    validation_fraction: of the records of `train`, if there is no split for
      validation.

  Raises:
    ValueError: a bad option, folder or split, or no such feature.
  """
  cut = views.make(
    *('tfds', split),
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
  require.keys('tfds', keys, KEYS)
  if bool(path) == bool(dataset):
    raise ValueError(
      'tfds: give path=, the folder of a version (.../ucf101/ucf101_1/2.0.0), '
      'or dataset=, what the package calls it (ucf101/ucf101_1:2.0.0)'
    )
  path = path or named.folder_of(dataset, data_dir, prepare)
  listed = splits.listed_in(
    split, train=train, validation=validation, test=test
  )
  folder, known = tfds.open_folder(path, listed), tfds.described(path)
  if 'video' in keys:
    video = feature.chosen('video', video, known, path)
  classes, names = 0, ()
  if 'label' in keys:
    label = feature.chosen('label', label, known, path)
    classes = known[label].classes if label in known else 0
    names = tfds.class_names(path, label)
  if not known:
    try:
      _try(folder, keys, video, label)
    except BadRecord as error:
      raise ValueError(f'tfds: the first record of {path}: {error}') from error
  rows = splits.of_list(
    'tfds',
    split,
    range(len(folder)),
    [str(row) for row in range(len(folder))],
    validation=validation,
    fraction=validation_fraction,
  )
  return Tfds(
    folder=folder,
    rows=np.array(rows, np.int64),
    video=video,
    stored=known.get(video),
    label=label,
    classes=classes,
    names=names,
    keys=tuple(keys),
    views=cut,
  )


def _try(
  folder: tfds.Folder, keys: Sequence[str], video: str, label: str
) -> None:
  """Refuses what a first record lacks, where nothing tells its features."""
  record = folder.read(0)
  if 'video' in keys:
    tfds.frames(record, video, None)
  if 'label' in keys:
    (values,) = tfds.features(record, [label]).values()
    _label(values, 0)


def _label(values: tfds.Feature, classes: int) -> np.ndarray:
  """The class of a record; 0 classes: it is not told how many there are."""
  if getattr(values, 'dtype', None) != np.int64 or values.shape != (1,):
    raise BadRecord('its label is not one whole number')
  # Splits whose labels are kept back have -1, which would count from the end.
  if not 0 <= values[0] < (classes or 2**31):
    most = f'to {classes - 1}' if classes else 'or more'
    raise BadRecord(f'its label is {values[0]}, expected 0 {most}')
  return np.array(values[0], np.int32)


def _decoded(
  coded: list[bytes] | list[np.ndarray], window: Int[np.ndarray, 't']
) -> UInt8[np.ndarray, 't h w 3']:
  """RGB of these frames."""
  shown = {n: _rgb(coded[n]) for n in set(window.tolist())}
  return pictures.stack([shown[n] for n in window.tolist()])


def _rgb(frame: bytes | np.ndarray) -> UInt8[np.ndarray, 'h w 3']:
  if isinstance(frame, bytes):
    return pictures.decode(frame)
  return np.repeat(frame, 3, axis=2) if frame.shape[2] == 1 else frame
