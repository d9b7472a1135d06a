"""Data sets that the package tensorflow-datasets writes, and how it reads them.

    python tests/data/sources/tfds/builders.py OUT

writes OUT/NAME/1.0.0 of each builder, and OUT/NAME.npz, what the package reads
of its records. A program of its own: it imports TensorFlow.
"""

import os
import sys
from pathlib import Path

os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'

import numpy as np
import tensorflow_datasets as tfds

F = tfds.features
HEIGHT, WIDTH = 24, 32


def clip(frames, start=0):
  """Smooth pictures, of which no two are alike."""
  rows, columns = np.mgrid[:HEIGHT, :WIDTH]
  pictures = [
    np.stack([5 * rows, 4 * columns, 0 * rows + 11 * n + start], -1)
    for n in range(frames)
  ]
  return np.stack(pictures).astype(np.uint8)


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


# Of each, where the package gives the video and the label.
READ = {
  Ucf101Like: (lambda x: x['video'], lambda x: x['label']),
  DavisLike: (lambda x: x['video']['frames'], lambda x: 0),
  RobotLike: (
    lambda x: np.stack([step['observation']['image'] for step in x['steps']]),
    lambda x: x['episode_metadata']['success'],
  ),
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
    np.savez(Path(out) / f'{builder.name}.npz', **arrays)


if __name__ == '__main__':
  main(sys.argv[1])
