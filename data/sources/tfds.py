"""Any data set of videos that TensorFlow Datasets has prepared.

PATH is the folder of a version, as .../ucf101/ucf101_1/2.0.0: its features.json
tells which feature is a video (a Video, a Sequence of Images, or the Images of
the steps of an episode, as robot data has them) and which are labels. Records
are read without TensorFlow; only NAME, instead of PATH, asks its package where
the data are, or to prepare them.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from base.console import say
from base.names import choose
from data import pictures, require, splits, transforms
from data.formats import tfds
from data.source import BadRecord, digest

KEYS = ('video', 'label', 'video_id')


@dataclasses.dataclass(frozen=True)
class Tfds:
  """A `data.source.Source` of clips x crops records per record of the data.

  As `data.classified.Classified`, of records instead of files.
  """

  folder: tfds.Folder
  rows: Int[np.ndarray, 'n']  # records of the folder that are in the split
  video: str
  label: str
  classes: int
  names: tuple[str, ...]  # of the classes, where they are known
  keys: tuple[str, ...]
  frames: int
  height: int
  width: int
  stride: tuple[int, int]
  clips: int
  crops: int
  random: bool
  scale: tuple[float, float]
  aspect: tuple[float, float]
  flip: float

  @property
  def fingerprint(self) -> str:
    """Of the names of the shards, their numbers of records, and the feature."""
    files = [file.name for file in self.folder.files]
    return digest(files, self.folder.ends, self.video)

  @property
  def is_fixed(self) -> bool:
    """Whether a record is always the same clip."""
    return not self.random

  def __len__(self) -> int:
    """Number of clips."""
    return len(self.rows) * self.clips * self.crops

  def read(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One clip, with the keys asked for.

    Raises:
      BadRecord: damaged, or without the features.
    """
    which, number = divmod(index, self.clips * self.crops)
    row = int(self.rows[which])
    wanted = [self.video] if 'video' in self.keys else []
    wanted += [self.label] if 'label' in self.keys else []
    try:
      found = tfds.features(self.folder.read(row), wanted)
      record = {'video_id': np.array(row, np.int32)}
      if 'label' in self.keys:
        record['label'] = _label(found[self.label])
      if 'video' in self.keys:
        record['video'] = self._clip(found[self.video], number, rng)
    except (BadRecord, ValueError) as error:
      where = self.folder.files[0].parent
      raise BadRecord(f'record {row} of {where}: {error}') from error
    return {key: record[key] for key in self.keys}

  def _clip(self, coded, number: int, rng: np.random.Generator) -> np.ndarray:
    if not isinstance(coded, list) or not coded:
      raise BadRecord(f'{self.video} has no picture')
    total, size = len(coded), (self.height, self.width)
    if not self.random:
      clip, crop = divmod(number, self.crops)
      window = transforms.spread_window(
        total, self.frames, self.stride, clip, self.clips
      )
      whole = _decoded(coded, window)
      part = pictures.spread_part(whole, *size, crop, self.crops)
      return pictures.resize(part, *size)
    window = transforms.window(rng, total, self.frames, self.stride)
    whole = _decoded(coded, window)
    box = transforms.random_box(rng, *whole.shape[1:3], self.scale, self.aspect)
    bottom, right = box.top + box.height, box.left + box.width
    clip = pictures.resize(whole[:, box.top : bottom, box.left : right], *size)
    if transforms.random_flip(rng, self.flip):
      clip = np.ascontiguousarray(clip[:, :, ::-1])
    return clip


def make(
  split: str,
  *,
  path: str = '',
  name: str = '',
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
    name: instead of `path`, as 'ucf101/ucf101_1:2.0.0': what the package
      tensorflow-datasets calls the data set.
    data_dir: where that has its data sets; '' for its own default.
    prepare: whether it may download and prepare `name` where it is missing.
    video: path of the feature that is the video, as 'steps/observation/image';
      '' if there is only one.
    label: path of the feature that is the class; '' if there is only one.
    keys: of the record, among KEYS.
    frames: of a clip.
    height: pixels.
    width: pixels.
    stride: least and greatest distance between frames; less where a video is
      too short. How many there are in a second differs by data set.
    clips: of each video, in the splits that are not for training.
    crops: of each of those clips: 1, the centre, or 3, at both ends of the
      longer side and the centre.
    scale: least and greatest area of a cut for training, of the picture's.
    aspect: least and greatest width / height of a cut for training.
    flip: probability of mirroring for training.
    train: the data set's own name of this split.
    validation: as `train`; '' (ours): records of `train`, by hash, that are
      then not trained on.
    test: as `train`.
    validation_fraction: of the records of `train`, if there is no split for
      validation.

  Raises:
    ValueError: a bad option, folder or split, or no such feature.
  """
  require.one_of('tfds', splits.SPLITS, split=split)
  require.keys('tfds', keys, KEYS)
  require.at_least(
    1, 'tfds', frames=frames, height=height, width=width, clips=clips
  )
  if crops not in (1, 3):
    raise ValueError(
      f'tfds: crops={crops}: 1 (the centre) or 3 (both ends and the centre)?'
    )
  require.stride('tfds', stride)
  require.ordered('tfds', most=1, scale=scale)
  require.ordered('tfds', aspect=aspect)
  require.between(0, 1, 'tfds', flip=flip)
  if bool(path) == bool(name):
    raise ValueError(
      'tfds: give path=, the folder of a version (.../ucf101/ucf101_1/2.0.0), '
      'or name=, what the package calls the data set (ucf101/ucf101_1:2.0.0)'
    )
  path = path or _path_of(name, data_dir, prepare)
  listed = splits.listed_in(
    split, train=train, validation=validation, test=test
  )
  folder, known = tfds.open_folder(path, listed), tfds.described(path)
  if 'video' in keys:
    video = _feature('video', video, known, tfds.Described.is_video, path)
  classes, names = 0, ()
  if 'label' in keys:
    label = _feature('label', label, known, tfds.Described.is_label, path)
    classes = known[label].classes if label in known else 0
    names = tfds.class_names(path, label)
  rows = splits.of_list(
    'tfds',
    split,
    range(len(folder)),
    [str(row) for row in range(len(folder))],
    validation=validation,
    fraction=validation_fraction,
  )
  trains = split == 'train'
  return Tfds(
    folder=folder,
    rows=np.array(rows, np.int64),
    video=video,
    label=label,
    classes=classes,
    names=names,
    keys=tuple(keys),
    frames=frames,
    height=height,
    width=width,
    stride=tuple(stride),
    clips=1 if trains else clips,
    crops=1 if trains else crops,
    random=trains,
    scale=tuple(map(float, scale)),
    aspect=tuple(map(float, aspect)),
    flip=float(flip),
  )


def _path_of(name: str, data_dir: str, prepare: bool) -> str:
  """The folder of a data set of the package, which may prepare it first."""
  # Slow to import, and of no use to who has the folder.
  import tensorflow_datasets

  try:
    builder = tensorflow_datasets.builder(name, data_dir=data_dir or None)
  except tensorflow_datasets.core.DatasetNotFoundError as error:
    raise ValueError(
      f'tfds: the package tensorflow-datasets knows no {name!r}: '
      f'{str(error).splitlines()[0]}'
    ) from error
  if not builder.is_prepared():
    if not prepare:
      raise ValueError(
        f'tfds: {name!r} is not in {builder.data_path}: prepare it with `tfds '
        f'build {name}` (and --data_dir), or with prepare=true'
      )
    say(f'tfds: {name} is prepared into {builder.data_path}')
    builder.download_and_prepare()
  return str(builder.data_path)


def _feature(
  what: str,
  given: str,
  known: Mapping[str, tfds.Described],
  is_one: property,
  path: str,
) -> str:
  """The path of the feature that is the video, or the label."""
  fitting = [each for each in known if is_one.fget(known[each])]
  if not known:
    # A folder of an old version: what is asked for is taken on trust.
    if given:
      return given
    raise ValueError(
      f'tfds: {path} has no features.json, which tells what is a {what}: name '
      f'the feature with {what}='
    )
  if given:
    choose(f'{what} of tfds', given, known)
    if given not in fitting:
      about = known[given]
      raise ValueError(
        f'tfds: {what}={given} is a {about.kind} in {about.lists} lists: '
        f'expected one of {fitting or "none that is there"}'
      )
    return given
  # Masks are pictures of one channel: they are taken if they are named.
  likely = [each for each in fitting if known[each].channels != 1]
  if len(likely) != 1:
    raise ValueError(
      f'tfds: {path} has {len(likely)} features that may be the {what}: '
      f'{likely or [*known]}; name one with {what}='
    )
  return likely[0]


def _label(values) -> np.ndarray:
  if not isinstance(values, np.ndarray) or values.shape != (1,):
    raise BadRecord('its label is not one number')
  return np.array(values[0], np.int32)


def _decoded(coded: list[bytes], window: Int[np.ndarray, 't']) -> np.ndarray:
  """RGB [t h w 3] of these frames."""
  shown = {n: pictures.decode(coded[n]) for n in set(window.tolist())}
  return pictures.stack([shown[n] for n in window.tolist()])
