"""Archives of arrays that promise more than they hold are not unpacked."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from base import npz


def archive(header, data, version=1):
  """An npz of one member, packed, whatever it says of itself."""
  raw = io.BytesIO()
  length = len(header).to_bytes(2 if version == 1 else 4, 'little')
  start = b'\x93NUMPY' + bytes([version, 0]) + length + header.encode()
  with zipfile.ZipFile(raw, 'w', zipfile.ZIP_DEFLATED) as made:
    made.writestr('a.npy', start + data)
  return raw


def floats(shape):
  about = {'descr': '<f4', 'fortran_order': False, 'shape': shape}
  return f'{about}\n'


def test_arrays_come_back():
  raw, arrays = io.BytesIO(), {'a': np.arange(6).reshape(2, 3), 'b': np.ones(2)}
  np.savez_compressed(raw, **arrays)
  found = npz.read(raw, 'x.npz', 'mend it')
  assert found.keys() == arrays.keys()
  for name, array in arrays.items():
    np.testing.assert_array_equal(found[name], array, strict=True)
  assert npz.read(raw, 'x.npz', 'mend it', ['b']).keys() == {'b'}
  with pytest.raises(ValueError, match=r'x\.npz lacks c: mend it'):
    npz.read(raw, 'x.npz', 'mend it', ['c'])


@pytest.mark.parametrize(
  ('make', 'said'),  # when it is wanted: two are large
  [
    (lambda: archive(floats((2**40,)), b'few'), 'damaged at a: mend it'),
    (lambda: archive(floats((-1, -1)), bytes(4)), 'damaged at a: mend it'),
    (lambda: archive('(' * 9000, b''), 'a is not an array'),
    (lambda: archive('-' * 9000 + '1', b''), 'a is not an array'),
    (
      lambda: archive(
        "{'descr': '|O', 'fortran_order': False, 'shape': ()}\n", b''
      ),
      'pickled objects, which could run any program',
    ),
    # 128 MiB that are packed into an eighth of one.
    (
      lambda: archive(floats((2**25,)), bytes(2**27)),
      r'would unpack to 134\d+, more than 67108864: refused; mend it',
    ),
    (
      lambda: archive(' ' * 2**26, b'', version=2),
      r'would unpack to 67\d+, more than 67108864: refused; mend it',
    ),
    (lambda: io.BytesIO(b'PK\x03\x04 cut'), r'truncated or damaged \('),
  ],
  ids=[
    'more',
    'negative',
    'brackets',
    'signs',
    'pickle',
    'bomb',
    'header',
    '-',
  ],
)
def test_what_it_promises_is_not_taken_for_memory(make, said):
  raw = make()
  tracemalloc.start()
  try:
    with pytest.raises(ValueError, match=rf'^x\.npz.*{said}'):
      npz.read(raw, 'x.npz', 'mend it')
    assert tracemalloc.get_traced_memory()[1] < 2**25
  finally:
    tracemalloc.stop()
