"""Data sets that the package tensorflow-datasets writes, and how it reads them.

    python tests/data/sources/tfds/builders.py OUT

writes OUT/NAME/1.0.0 of each builder, and OUT/NAME.npz, what the package reads
of its records; and OUT/named.json, what `named.folder_of` gives or raises for
names. A program of its own: it imports TensorFlow.
"""

import json
import os
import sys
from pathlib import Path

os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'

import cv2
import numpy as np
import tensorflow_datasets as tfds

sys.path.insert(0, str(Path(__file__).parents[4]))

from data.sources.tfds import named
from tests.data.sources.movi import files

F = tfds.features
HEIGHT, WIDTH = 24, 32


def clip(frames, start=0):
  """Smooth pictures, of which no two are alike."""
  rows, columns = np.mgrid[:HEIGHT, :WIDTH]
  pictures = [
    np.stack([5 * rows, 4 * columns, 0 * rows + 11 * n + start], -1)
    for n in range(frames)
  ]
  return np.reshape(pictures, (frames, HEIGHT, WIDTH, 3)).astype(np.uint8)


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  VERSION = tfds.core.Version('1.0.0')
  SPLITS = (('train', 5), ('test', 2))

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self, features=F.FeaturesDict(self.spec())
    )

  def _split_generators(self, dl_manager):
    return {
      split: self._generate_examples(split, count)
      for split, count in self.SPLITS
    }

  def _generate_examples(self, split, count):
    for number in range(count):
      yield number, self.example(number)


class Ucf101Like(_Builder):
  """A Video as JPEGs, and a class by name."""

  def spec(self):
    return {
      'video': F.Video(shape=(None, HEIGHT, WIDTH, 3), encoding_format='jpeg'),
      'label': F.ClassLabel(names=['ApplyLipstick', 'Archery', 'Biking']),
    }

  def example(self, number):
    return {'video': clip(6 + number), 'label': number % 3}


class DavisLike(_Builder):
  """Pictures and masks in one Sequence."""

  def spec(self):
    return {
      'video': F.Sequence(
        {
          'frames': F.Image(shape=(None, None, 3)),
          'segmentations': F.Image(shape=(None, None, 1)),
        }
      ),
      'metadata': {'num_frames': np.int64, 'video_name': np.str_},
    }

  def example(self, number):
    pictures = clip(5 + number)
    return {
      'video': [
        {'frames': each, 'segmentations': each[..., :1]} for each in pictures
      ],
      'metadata': {'num_frames': len(pictures), 'video_name': f'v{number}'},
    }


class RobotLike(_Builder):
  """Episodes of steps, as RLDS has them, seen by two cameras."""

  def spec(self):
    observation = {
      'image': F.Image(shape=(HEIGHT, WIDTH, 3)),
      'wrist_image': F.Image(shape=(HEIGHT, WIDTH, 3), encoding_format='jpeg'),
      'state': F.Tensor(shape=(7,), dtype=np.float32),
    }
    return {
      'steps': F.Dataset(
        {
          'observation': observation,
          'action': F.Tensor(shape=(7,), dtype=np.float32),
          'is_first': np.bool_,
          'language_instruction': F.Text(),
        }
      ),
      'episode_metadata': {'success': np.int32},
    }

  def example(self, number):
    steps = [
      {
        'observation': {
          'image': each,
          'wrist_image': 255 - each,
          'state': np.zeros(7, np.float32),
        },
        'action': np.zeros(7, np.float32),
        'is_first': place == 0,
        'language_instruction': 'pick it up',
      }
      for place, each in enumerate(clip(7 + number))
    ]
    return {'steps': steps, 'episode_metadata': {'success': number % 2}}


class TensorLike(_Builder):
  """Pictures that are no Image, in each of the ways that a record has them."""

  def spec(self):
    def tensor(*shape, **options):
      return F.Tensor(shape=shape, dtype=np.uint8, **options)

    known, any_size = (None, HEIGHT, WIDTH, 3), (None, None, None, 3)
    return {
      'numbers': tensor(*known),
      'raw': tensor(*known, encoding='bytes'),
      'packed': tensor(*known, encoding='zlib'),
      'sized': tensor(*any_size, encoding='zlib'),
      'grey': tensor(None, HEIGHT, WIDTH, 1),
      'deep': {
        'steps': F.Dataset(
          {
            'seen': {
              'numbers': tensor(HEIGHT, WIDTH, 3),
              'raw': tensor(HEIGHT, WIDTH, 3, encoding='bytes'),
              'sized': tensor(None, None, 3, encoding='bytes'),
            }
          }
        ),
        'success': np.bool_,
      },
      'list': F.Sequence(F.Image(shape=(HEIGHT, WIDTH, 3))),
      'floats': floats(2, 4, 4, 3),
      'kind': F.ClassLabel(num_classes=4),
    }

  def example(self, number):
    pictures = clip(4 + number, start=90)
    wide = {'sized': pictures[:, : 10 + number]}
    return {
      **dict.fromkeys(('numbers', 'raw', 'packed', 'list'), pictures),
      **wide,
      'grey': pictures[..., :1],
      'deep': {
        'steps': [
          {'seen': {'numbers': each, 'raw': each, 'sized': each[:, :9]}}
          for each in pictures
        ],
        'success': number % 2 == 0,
      },
      'floats': np.zeros((2, 4, 4, 3), np.float32),
      'kind': number % 4,
    }


def floats(*shape):
  return F.Tensor(shape=shape, dtype=np.float32)


class OddLike(_Builder):
  """A label that is kept back, and a video without a picture."""

  SPLITS = (('test', 2),)

  def spec(self):
    return {
      'video': F.Video(shape=(None, HEIGHT, WIDTH, 3)),
      'label': F.ClassLabel(num_classes=2),
    }

  def example(self, number):
    return {'video': clip(4 * number), 'label': 0 - number}


class MoviELike(_Builder):
  """The features of kubric's challenges/movi/movi_e.py; the scene of `files`.

  Flow and collisions, which nobody reads, are left out.
  """

  SPLITS = (('validation', 1),)

  def spec(self):
    t, h, w = files.FRAMES, files.HEIGHT, files.WIDTH
    instance = {
      **dict.fromkeys(('mass', 'friction', 'restitution'), np.float32),
      **{name: floats(t, 3) for name in ('positions', 'velocities')},
      'angular_velocities': floats(t, 3),
      'quaternions': floats(t, 4),
      'bboxes_3d': floats(t, 8, 3),
      'image_positions': floats(t, 2),
      'bboxes': F.Sequence(F.BBoxFeature()),
      'bbox_frames': F.Sequence(F.Tensor(shape=(), dtype=np.int32)),
      'visibility': F.Tensor(shape=(t,), dtype=np.uint16),
      'asset_id': F.Text(),
      'category': F.ClassLabel(names=['Bag', 'Shoe']),
      'scale': np.float32,
      'is_dynamic': np.bool_,
    }

    def images(dtype):
      return F.Sequence(F.Image(shape=(h, w, 1), dtype=dtype), length=t)

    return {
      'metadata': {
        'video_name': F.Text(),
        **dict.fromkeys(('width', 'height', 'num_frames'), np.int32),
        'num_instances': np.uint16,
        'depth_range': floats(2),
      },
      'background': F.Text(),
      'instances': F.Sequence(instance),
      'camera': {
        **dict.fromkeys(('focal_length', 'sensor_width'), np.float32),
        'field_of_view': np.float32,
        'positions': floats(t, 3),
        'quaternions': floats(t, 4),
      },
      'video': F.Video(shape=(t, h, w, 3)),
      'segmentations': images(np.uint8),
      'depth': images(np.uint16),
      'normal': F.Video(shape=(t, h, w, 3), dtype=np.uint16),
      'object_coordinates': F.Video(shape=(t, h, w, 3), dtype=np.uint16),
    }

  def example(self, number):
    found, t = files.features(), files.FRAMES

    def pictures(name):
      decoded = [
        cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
        for png in found[name]
      ]
      return np.stack([np.atleast_3d(each)[..., ::-1] for each in decoded])

    lengths = found['instances/bboxes/ragged_row_lengths_0']
    boxes = np.split(
      found['instances/bboxes/ragged_flat_values'].astype(np.float32),
      np.cumsum(lengths)[:-1],
    )
    frames = np.split(
      found['instances/bbox_frames/ragged_flat_values'], np.cumsum(lengths)[:-1]
    )
    instances = [
      {
        **dict.fromkeys(('mass', 'friction', 'restitution', 'scale'), 1.0),
        **dict.fromkeys(
          ('positions', 'velocities', 'angular_velocities'), np.zeros((t, 3))
        ),
        'quaternions': found['instances/quaternions'][place],
        'bboxes_3d': found['instances/bboxes_3d'][place],
        'image_positions': np.zeros((t, 2)),
        'bboxes': [F.BBox(*map(float, box)) for box in boxes[place]],
        'bbox_frames': frames[place].tolist(),
        'visibility': np.zeros(t, np.uint16),
        **{'asset_id': 'x', 'category': 'Shoe', 'is_dynamic': True},
      }
      for place in range(len(lengths))
    ]
    for instance in instances:
      for name, value in instance.items():
        if isinstance(value, np.ndarray) and value.dtype == np.float64:
          instance[name] = value.astype(np.float32)
    return {
      'metadata': {
        **{'video_name': '0', 'width': files.WIDTH, 'height': files.HEIGHT},
        **{'num_frames': t, 'num_instances': len(lengths)},
        'depth_range': found['metadata/depth_range'].astype(np.float32),
      },
      'background': 'a dome',
      'instances': instances,
      'camera': {
        **{'focal_length': files.FOCAL, 'sensor_width': files.SENSOR},
        'field_of_view': 0.9,
        'positions': found['camera/positions'].astype(np.float32),
        'quaternions': found['camera/quaternions'].astype(np.float32),
      },
      **{
        name: pictures(name)
        for name in ('video', 'normal', 'object_coordinates')
      },
      **{name: list(pictures(name)) for name in ('segmentations', 'depth')},
    }


class NamedClips(tfds.core.GeneratorBasedBuilder):
  """The package knows it by its name."""

  VERSION = tfds.core.Version('1.2.0')
  BUILDER_CONFIGS = tuple(
    tfds.core.BuilderConfig(name=name) for name in ('small', 'large', 'by_hand')
  )
  MANUAL_DOWNLOAD_INSTRUCTIONS = 'Ask its authors.'

  def _info(self):
    spec = {'video': F.Video(shape=(None, HEIGHT, WIDTH, 3))}
    return tfds.core.DatasetInfo(builder=self, features=F.FeaturesDict(spec))

  def _split_generators(self, dl_manager):
    if self.builder_config.name == 'by_hand':
      dl_manager.manual_dir.iterdir()
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    for number in range(3):
      yield number, {'video': clip(4 + number)}


# (name, whether it may be prepared), in this order.
NAMED = (
  ('named_clips/small:1.2.0', False),
  ('named_clips/small:1.2.0', True),
  ('named_clips', False),
  ('named_clips/small', False),
  ('NamedClips/small:1.*.*', False),
  ('named_clips/small:9.0.0', False),
  ('named_clips/lange', False),
  ('named_clips/by_hand', True),
  ('named_clip', False),
  ('named clips', False),
  # Only prepared: the package has no code of it.
  ('ucf101_like', False),
  ('ucf101_like:1.0.0', False),
  ('ucf101_like:3.0.0', False),
)


def by_name(out):
  """What is given, or raised, for each of NAMED."""
  for name, prepare in NAMED:
    try:
      yield named.folder_of(name, out, prepare)
    except ValueError as error:
      yield f'{error}'


# Of each, where the package gives the video and the label.
READ = {
  Ucf101Like: (lambda x: x['video'], lambda x: x['label']),
  DavisLike: (lambda x: x['video']['frames'], lambda x: 0),
  RobotLike: (
    lambda x: np.stack([step['observation']['image'] for step in x['steps']]),
    lambda x: x['episode_metadata']['success'],
  ),
  TensorLike: (lambda x: x['numbers'], lambda x: x['kind']),
}
# Of TensorLike, by our names: where the package gives each of the others.
OTHERS = {
  **{name: lambda x, name=name: x[name] for name in ('raw', 'packed', 'sized')},
  **{name: lambda x, name=name: x[name] for name in ('grey', 'list')},
  **{
    f'deep/steps/seen/{name}': lambda x, name=name: np.stack(
      [step['seen'][name] for step in x['deep']['steps']]
    )
    for name in ('numbers', 'raw', 'sized')
  },
  'deep/success': lambda x: x['deep']['success'],
}


def main(out):
  for builder_class, (video, label) in READ.items():
    # One in the other format.
    kind = 'array_record' if builder_class is DavisLike else 'tfrecord'
    builder = builder_class(data_dir=out, file_format=kind)
    builder.download_and_prepare()
    arrays = {}
    for split, _ in builder.SPLITS:
      # In the order of the files.
      if kind == 'array_record':
        read = builder.as_data_source(split=split)
      else:
        whole = builder.as_dataset(split=split, shuffle_files=False)
        read = tfds.as_numpy(whole)
      for number, found in enumerate(read):
        arrays[f'{split}/{number}/video'] = video(found)
        arrays[f'{split}/{number}/label'] = label(found)
        if builder_class is TensorLike:
          for name, value in OTHERS.items():
            arrays[f'{split}/{number}/{name}'] = value(found)
    np.savez(Path(out) / f'{builder.name}.npz', **arrays)
  OddLike(data_dir=out).download_and_prepare()
  for kind in ('tfrecord', 'array_record'):
    folder = Path(out) / kind
    MoviELike(data_dir=folder, file_format=kind).download_and_prepare()
  told = list(by_name(out))
  (Path(out) / 'named.json').write_text(json.dumps(told))


if __name__ == '__main__':
  main(sys.argv[1])
