"""Pickles: arrays are read, code is not run."""

import codecs
import os
import pickle

import numpy as np
import pytest

from data.formats import unpickle

ARRAYS = {
  'video': np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
  'points': np.linspace(0, 1, 6, dtype=np.float32).reshape(1, 3, 2)[:, ::2],
  'occluded': np.array([[True, False]]),
  'jpegs': np.array([b'\xff\xd8abc', b'\xff\xd8d']),
  'scalar': np.float64(0.5),
  'fortran': np.asfortranarray(np.arange(6).reshape(2, 3)),
  'exchanged': np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
  'objects': np.array([[b'\xff\x00', None], ['a', 3]], object),
  'none': np.zeros((0, 5, 2), np.float32),
  'zero_d': np.array(3.5),
  'rest': [1, 2.5, 'name', None, (b'bytes\xff', b'', True)],
}


@pytest.mark.parametrize('protocol', [0, 1, 2, 3, 4, 5])
def test_arrays_come_back(tmp_path, protocol):
  file = tmp_path / 'a.pkl'
  file.write_bytes(pickle.dumps(ARRAYS, protocol))
  found = unpickle.load(file)
  assert found.keys() == ARRAYS.keys()
  for key in ARRAYS.keys() - {'rest'}:
    np.testing.assert_array_equal(found[key], ARRAYS[key], strict=True)
  assert found['rest'] == ARRAYS['rest']


@pytest.mark.parametrize('protocol', [0, 2, 3, 5])
def test_the_other_order_of_bytes(tmp_path, protocol):
  """As of other machines; NumPy itself may turn it."""
  file, large = tmp_path / 'a.pkl', np.arange(6, dtype='>f4').reshape(2, 3)
  file.write_bytes(pickle.dumps(large, protocol))
  np.testing.assert_array_equal(unpickle.load(file), large)


def test_arrays_are_sent_to_others_as_any(tmp_path):
  file = tmp_path / 'a.pkl'
  file.write_bytes(pickle.dumps(ARRAYS['video'], 3))
  found = unpickle.load(file)
  for protocol in (2, 5):
    again = pickle.dumps(found, protocol)
    assert again == pickle.dumps(ARRAYS['video'], protocol)


def test_the_name_that_numpy_had_is_known(tmp_path):
  """As files that numpy 1 wrote have it."""
  file = tmp_path / 'a.pkl'
  new = pickle.dumps(ARRAYS['video'], 3)
  assert b'numpy._core.multiarray' in new
  file.write_bytes(new.replace(b'numpy._core.', b'numpy.core.'))
  np.testing.assert_array_equal(unpickle.load(file), ARRAYS['video'])


def test_an_array_that_python_2_wrote(tmp_path):
  """Its bytes are its text: here uint8 [0 1 255], and a float64 of 0.5."""
  file = tmp_path / 'a.pkl'
  file.write_bytes(
    b'\x80\x02(cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\n'
    b'q\x02K\x00\x85U\x01b\x87Rq\x03(K\x01K\x03\x85cnumpy\ndtype\nq\x04U\x02u1'
    b'K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00'
    b'tb\x89U\x03\x00\x01\xfftbcnumpy.core.multiarray\nscalar\nh\x04U\x02f8K\x00'
    b'K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbU\x08'
    b'\x00\x00\x00\x00\x00\x00\xe0?\x86Rt.'
  )
  array, scalar = unpickle.load(file)
  np.testing.assert_array_equal(array, np.uint8([0, 1, 255]), strict=True)
  assert scalar == np.float64(0.5)


class Run:
  """Runs a command when it is unpickled."""

  def __init__(self, function, *arguments, state=None):
    self.call = function, arguments, state

  def __reduce__(self):
    return self.call


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
def test_code_is_refused_by_its_name(tmp_path, protocol):
  file, trace = tmp_path / 'a.pkl', tmp_path / 'trace'
  bad = {**ARRAYS, 'rest': Run(os.system, f'touch {trace}')}
  file.write_bytes(pickle.dumps(bad['rest'], protocol))
  with pytest.raises(ValueError, match=r'asks for (posix|nt)\.system'):
    unpickle.load(file)
  assert not trace.exists()


@pytest.mark.parametrize('function', [eval, getattr, np.load, np.fromfile])
def test_builtins_and_the_rest_of_numpy_are_refused(tmp_path, function):
  file = tmp_path / 'a.pkl'
  file.write_bytes(pickle.dumps(Run(function, 'x')))
  with pytest.raises(ValueError, match=f'asks for .*{function.__name__}'):
    unpickle.load(file)


def test_a_dotted_name_does_not_reach_through(tmp_path):
  """Protocol 4 may name an attribute of an attribute."""
  file = tmp_path / 'a.pkl'
  module, name = b'numpy._core.multiarray', b'_reconstruct.__globals__'
  coded = b'\x80\x04'
  for text in (module, name):
    coded += b'\x8c' + bytes([len(text)]) + text
  file.write_bytes(coded + b'\x93.')
  with pytest.raises(ValueError, match=r'asks for .*__globals__'):
    unpickle.load(file)


def test_damage_is_told(tmp_path):
  file = tmp_path / 'a.pkl'
  whole = pickle.dumps(ARRAYS)
  for data in (b'', b'no pickle', whole[:-30], whole[:5], b'\x80\x04K'):
    file.write_bytes(data)
    with pytest.raises(ValueError, match='not a pickle, or a damaged one'):
      unpickle.load(file)


def test_an_array_without_its_numbers_is_refused(tmp_path):
  """A pickle of some bytes would take as much memory as it likes."""
  file = tmp_path / 'a.pkl'
  reconstruct, (kind, _, code), _ = np.zeros(2).__reduce__()
  scalar = np.float64(1).__reduce__()[0]
  for bad in (
    Run(reconstruct, kind, (2**20,), code),
    Run(np.ndarray, (2**20,)),
    Run(scalar, np.dtype('V1048576')),
    Run(scalar, np.dtype('V1048576'), b'x'),
    Run(scalar, np.dtype(object), b'x'),
    # Text is encoded as bytes of protocol 2 are, and no other way.
    Run(codecs.encode, 'x' * 9, 'utf-16'),
    Run(codecs.encode, b'x', 'latin1'),
    Run(bytes, 2**20),
  ):
    file.write_bytes(pickle.dumps(bad, 2))
    with pytest.raises(ValueError, match='not a pickle, or a damaged one'):
      unpickle.load(file)


def test_what_an_array_says_of_itself_is_not_believed(tmp_path):
  """NumPy believes it: where fields lie, and how many objects there are."""
  file = tmp_path / 'a.pkl'
  reconstruct, arguments, state = np.zeros(2, object).__reduce__()
  from_buffer = ARRAYS['video'].__reduce_ex__(5)[0]
  numbers = np.arange(8, dtype=np.uint8)
  for bad, said in (
    (np.zeros(2, [('a', 'f4')]), "an array of 'V4', expected numbers, bytes"),
    (np.zeros(2, 'M8[s]'), "an array of 'M8'"),
    (np.zeros(2, 'V0'), "an array of 'V0'"),
    (np.dtype([('a', 'O')]), "an array of 'V8'"),
    (Run(np.dtype, ['f4']), 'a pickle, or a damaged one'),
    (
      Run(reconstruct, *arguments, state=(*state[:4], [1, 2, 3])),
      r'an array of \(2,\) with 3 objects',
    ),
    (
      # What it is of could be given other numbers, elsewhere.
      Run(from_buffer, numbers, np.dtype('u1'), (8,), 'C'),
      'an array of the bytes of a _Array',
    ),
  ):
    file.write_bytes(pickle.dumps(bad, 2))
    with pytest.raises(ValueError, match=said):
      unpickle.load(file)
  coded = pickle.dumps(numbers, 2)
  state = coded[coded.rindex(b'(K\x01') :]
  file.write_bytes(coded[:-1] + state)
  with pytest.raises(ValueError, match='whose numbers are given twice'):
    unpickle.load(file)


def test_a_place_that_no_pickle_gets_to_is_not_made(tmp_path):
  """Python would make room for all places before it."""
  file = tmp_path / 'a.pkl'
  for put in (b'r' + (2**20).to_bytes(4, 'little'), b'p1048576\n'):
    file.write_bytes(b'\x80\x02]' + put + b'.')
    with pytest.raises(ValueError, match='something at place 1048576'):
      unpickle.load(file)
