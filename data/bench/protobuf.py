"""How fast records of TensorFlow Datasets are parsed, beside the library.

  python -m data.bench.protobuf

A record of the size of one of MOVi-E: 24 frames of five pictures of 100 kB,
corners of 20 boxes in each frame, and in which frames they are seen. Prints,
for what a source may ask for, the time of `data.formats.tfds` and of the
protocol buffers of TensorFlow, which parse a record as a whole. Rounds are
interleaved, and medians reported.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from absl import flags

from base import command
from data.formats import tfds

_FRAMES, _BYTES = 24, 100_000  # of each of _PICTURES, and in each frame
_FLOATS, _INTEGERS = 24 * 20 * 8 * 3, 24 * 20
_PICTURES = ('video', 'depth', 'segmentations', 'normal', 'object_coordinates')
# What is asked for: a video, as for pretraining; and everything.
ASKED = {
  'video': ('video',),
  'video, depth and numbers': ('video', 'depth', 'floats', 'integers'),
  'everything': (*_PICTURES, 'floats', 'integers'),
}


def record() -> bytes:
  """A tf.train.Example of these sizes, made by the library."""
  import tensorflow as tf

  rng, train = np.random.default_rng(0), tf.train
  features = {
    name: train.Feature(
      bytes_list=train.BytesList(
        value=[rng.bytes(_BYTES) for _ in range(_FRAMES)]
      )
    )
    for name in _PICTURES
  }
  features['floats'] = train.Feature(
    float_list=train.FloatList(value=rng.random(_FLOATS, np.float32))
  )
  features['integers'] = train.Feature(
    int64_list=train.Int64List(value=rng.integers(0, _FRAMES, _INTEGERS))
  )
  example = train.Example(features=train.Features(feature=features))
  return example.SerializeToString()


def by_library(data: bytes, names: tuple[str, ...]) -> dict[str, tfds.Feature]:
  """What `tfds.features` gives, by the library."""
  import tensorflow as tf

  found = tf.train.Example.FromString(data).features.feature
  values = {}
  for name in names:
    kind = found[name].WhichOneof('kind')
    listed = getattr(found[name], kind).value
    if kind == 'bytes_list':
      values[name] = list(listed)
    else:
      dtype = np.float32 if kind == 'float_list' else np.int64
      values[name] = np.fromiter(listed, dtype, len(listed))
  return values


def _milliseconds(call: Callable[[], object]) -> float:
  began = time.process_time()
  call()
  return 1e3 * (time.process_time() - began)


def main() -> None:
  """Prints a line for each of what is asked for."""
  data = record()
  rounds = flags.FLAGS.rounds
  print(f'a record of {len(data) / 1e6:.1f} MB, ms of CPU time')
  for what, names in ASKED.items():
    spent = [
      (
        _milliseconds(lambda names=names: tfds.features(data, names)),
        _milliseconds(lambda names=names: by_library(data, names)),
      )
      for _ in range(rounds)
    ]
    ours, library = (statistics.median(each) for each in zip(*spent))
    ratio = statistics.median(b / a for a, b in spent)
    print(f'{what}: {ours:.2f}, the library {library:.2f}: {ratio:.1f} x')


if __name__ == '__main__':
  flags.DEFINE_integer('rounds', 50, 'medians are of so many', lower_bound=1)
  command.run(main)
