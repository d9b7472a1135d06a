"""Kinds of damage to a checkpoint: of disks, of kills, of copies, of people."""

import dataclasses
import pathlib
import shutil
from collections.abc import Callable

_BLOCK = 4096  # bytes, what a file system loses at once


@dataclasses.dataclass(frozen=True)
class Damage:
  """A kind of damage.

  Attributes:
    make: it, in the folder of a step.
    said: how a start begins to name it.
  """

  make: Callable[[pathlib.Path], None]
  said: str


def flip(path: pathlib.Path, bit: int) -> None:
  """Flips one bit of a file; twice: none."""
  data = bytearray(path.read_bytes())
  data[bit // 8] ^= 1 << bit % 8
  path.write_bytes(data)


def _largest(step: pathlib.Path) -> pathlib.Path:
  """The file of most values."""
  return max(step.rglob('d/*'), key=lambda path: path.stat().st_size)


def _changed(
  change: Callable[[bytes], bytes], name: str = ''
) -> Callable[[pathlib.Path], None]:
  """Changes what a file of a step holds; the largest one if it has no name."""

  def make(step):
    path = step / name if name else _largest(step)
    path.write_bytes(change(path.read_bytes()))

  return make


def _removed(name: str = '') -> Callable[[pathlib.Path], None]:
  return lambda step: (step / name if name else _largest(step)).unlink()


def _of_the_step_before(name: str) -> Callable[[pathlib.Path], None]:
  def make(step):
    before = max(
      (each for each in step.parent.iterdir() if each != step),
      key=lambda each: int(each.name),
    )
    shutil.copy(before / name, step / name)

  return make


def _flipped(data: bytes) -> bytes:
  middle = len(data) // 2
  return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


def _without_a_block(data: bytes) -> bytes:
  return data[:_BLOCK] + bytes(_BLOCK) + data[2 * _BLOCK :]


def _emptied(step: pathlib.Path) -> None:
  shutil.rmtree(step)
  step.mkdir()


NO_PROOF = 'no digests'  # the only one of which a run loses nothing
_VALUES = 'default/ocdbt.process_0/d/'
_JSON = b'{"tree_metadata": {'
ALL = {
  'a flipped bit': Damage(_changed(_flipped), _VALUES),
  'cut in half': Damage(_changed(lambda data: data[: len(data) // 2]), _VALUES),
  'a lost byte': Damage(_changed(lambda data: data[:-1]), _VALUES),
  'a block of zeros': Damage(_changed(_without_a_block), _VALUES),
  'a block too much': Damage(
    _changed(lambda data: data + bytes(_BLOCK)), _VALUES
  ),
  'an empty file': Damage(_changed(lambda data: b''), _VALUES),
  'a missing file': Damage(_removed(), _VALUES),
  'a missing list': Damage(
    _removed('default/manifest.ocdbt'), 'default/manifest.ocdbt is missing'
  ),
  'a list of the step before': Damage(
    _of_the_step_before('default/manifest.ocdbt'),
    'default/manifest.ocdbt ',
  ),
  'garbled JSON': Damage(
    _changed(lambda data: _JSON + data[: -len(_JSON)], 'default/_METADATA'),
    'default/_METADATA holds other bytes',
  ),
  'empty JSON': Damage(
    _changed(lambda data: b'', 'default/_METADATA'),
    'default/_METADATA has 0 bytes',
  ),
  'shardings cut off': Damage(
    _changed(lambda data: data[:100], 'default/_sharding'),
    'default/_sharding has 100 bytes',
  ),
  'another time': Damage(
    _changed(
      lambda data: data.replace(b'nsecs": 1', b'nsecs": 2'),
      '_CHECKPOINT_METADATA',
    ),
    '_CHECKPOINT_METADATA holds other bytes',
  ),
  'no time': Damage(
    _removed('_CHECKPOINT_METADATA'), '_CHECKPOINT_METADATA is missing'
  ),
  'no commit marker': Damage(
    _removed('commit_success.txt'), 'commit_success.txt is missing'
  ),
  'no item': Damage(lambda step: shutil.rmtree(step / 'default'), 'default/'),
  'an empty folder': Damage(_emptied, 'it is empty'),
  'flipped digests': Damage(
    _changed(_flipped, 'digests.json'), 'digests.json is not as it was written'
  ),
  NO_PROOF: Damage(_removed('digests.json'), ''),
}
