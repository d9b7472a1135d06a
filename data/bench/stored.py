"""How fast records of TensorFlow Datasets are read from its two formats.

  python -m data.bench.stored

Writes records of the size of those of MOVi-E, pictures that do not compress
further, as the package does: as TFRecord, and as ArrayRecord, which it
compresses. Reads them as `movi` and `tfds` do: the bytes of a record, and
its parts. Prints CPU time; rounds are interleaved, and medians reported.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

from absl import flags
from array_record.python import array_record_module

from base import command
from data.bench import protobuf
from data.formats import tfds

_RECORDS = 4
FORMATS = 'tfrecord', 'array_record'


def write(folder: Path, kind: str, record: bytes, count: int) -> str:
  """A split 'train' of `count` copies of a record, as the package writes it."""
  folder.mkdir(parents=True)
  file = str(folder / f'films-train.{kind}-00000-of-00001')
  if kind == 'array_record':
    # Compressed, as is its default.
    writer = array_record_module.ArrayRecordWriter(file, 'group_size:1')
  else:
    import tensorflow as tf

    writer = tf.io.TFRecordWriter(file)
  for _ in range(count):
    writer.write(record)
  writer.close()
  split = {'name': 'train', 'shardLengths': [str(count)]}
  info = {'name': 'films', 'fileFormat': kind, 'splits': [split]}
  (folder / 'dataset_info.json').write_text(json.dumps(info))
  return str(folder)


def milliseconds(folder: tfds.Folder, number: int, names: tuple[str, ...]):
  """CPU time of reading these parts of a record."""
  began = time.process_time()
  tfds.features(folder.read(number), names)
  return 1e3 * (time.process_time() - began)


def main() -> None:
  """Prints a line for each of what is asked for."""
  record = protobuf.record()
  print(f'records of {len(record) / 1e6:.1f} MB, ms of CPU time')
  with tempfile.TemporaryDirectory() as made:
    folders = [
      tfds.open_folder(
        write(Path(made) / kind, kind, record, _RECORDS), 'train'
      )
      for kind in FORMATS
    ]
    for folder in folders:  # where records are is found once
      folder.read(_RECORDS - 1)
    for what, names in protobuf.ASKED.items():
      spent = [
        [milliseconds(folder, n % _RECORDS, names) for folder in folders]
        for n in range(flags.FLAGS.rounds)
      ]
      plain, packed = (statistics.median(each) for each in zip(*spent))
      ratio = statistics.median(b / a for a, b in spent)
      print(
        f'{what}: TFRecord {plain:.1f}, ArrayRecord {packed:.1f}: {ratio:.1f} x'
      )


if __name__ == '__main__':
  flags.DEFINE_integer('rounds', 40, 'medians are of so many', lower_bound=1)
  command.run(main)
