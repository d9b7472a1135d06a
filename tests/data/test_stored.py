"""Both formats of TensorFlow Datasets, as the package writes them."""

import pytest

from data.bench import stored
from data.formats import tfds


@pytest.mark.slow  # to import TensorFlow
def test_both_formats_hold_the_same_records(tmp_path):
  from tensorflow_datasets.core import file_adapters

  adapters = {
    'tfrecord': file_adapters.TfRecordFileAdapter,
    'array_record': file_adapters.ArrayRecordFileAdapter,
  }
  for kind, adapter in adapters.items():
    made = stored.write(tmp_path / 'made' / kind, kind, b'a record' * 99, 3)
    folder = tfds.open_folder(made, 'train')
    assert folder.format == kind
    assert [folder.read(n) for n in range(3)] == [b'a record' * 99] * 3
    # They are the bytes of the package.
    (file,) = folder.files
    adapter.write_examples(
      tmp_path / kind, ((n, b'a record' * 99) for n in range(3))
    )
    assert (tmp_path / kind).read_bytes() == file.read_bytes()
