"""Damage to a checkpoint: found, named, and gone on from the one before."""

import errno
import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint.path import atomicity

from base import digests
from tests.train.test_checkpoint import EVERY, placed
from train import checkpoint, init_from
from train.checkpoint import proof, reading
from train.step import State


def state(step):
  noise = np.random.default_rng(step).normal(size=(16, 24))
  params = {'a': {'kernel': jnp.asarray(noise, jnp.float32)}}
  return State(jnp.int32(step), params, {'mu': jnp.full(3, step / 7)})


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  run = tmp_path_factory.mktemp('run')
  with checkpoint.Checkpoints(str(run), **EVERY) as checkpoints:
    checkpoints.save(state(3), 3)
    checkpoints.save(state(6), 6)
  return run


@pytest.fixture
def run(whole, tmp_path):
  """A run with checkpoints of steps 3 and 6, to be damaged."""
  return shutil.copytree(whole, tmp_path / 'run')


def flip(path, bit):
  data = bytearray(path.read_bytes())
  data[bit // 8] ^= 1 << bit % 8
  path.write_bytes(data)


def largest(folder):
  return max(folder.rglob('d/*'), key=lambda path: path.stat().st_size)


def cut(path, size):
  path.write_bytes(path.read_bytes()[:size])


def emptied(folder):
  shutil.rmtree(folder)
  folder.mkdir()


def swapped(folder):
  """With a list of values of the other step, as a mixed copy has it."""
  name = 'default/manifest.ocdbt'
  shutil.copy(folder.parent / '3' / name, folder / name)


DAMAGES = {
  'flipped': (lambda folder: flip(largest(folder), 12345), 'other bytes'),
  'cut': (lambda folder: cut(largest(folder), 100), 'has 100 bytes, of'),
  'empty': (lambda folder: cut(folder / 'default/_sharding', 0), 'has 0 bytes'),
  'missing': (lambda folder: largest(folder).unlink(), 'is missing'),
  'garbled': (
    lambda folder: (folder / 'default/_METADATA').write_text('{' * 630),
    'default/_METADATA',
  ),
  'no commit marker': (
    lambda folder: (folder / 'commit_success.txt').unlink(),
    'commit_success.txt is missing',
  ),
  'no metadata': (
    lambda folder: (folder / '_CHECKPOINT_METADATA').unlink(),
    '_CHECKPOINT_METADATA is missing',
  ),
  'swapped': (swapped, 'default/manifest.ocdbt holds other bytes'),
  'empty folder': (emptied, 'it is empty'),
  'no item': (
    lambda folder: shutil.rmtree(folder / 'default'),
    'is missing, and',
  ),
  'digests': (
    lambda folder: flip(folder / 'digests.json', 3000),
    'digests.json is not as it was written',
  ),
}


@pytest.mark.parametrize('name', DAMAGES)
def test_damage_is_named_and_the_one_before_is_gone_on_from(run, name, capsys):
  damage, said = DAMAGES[name]
  damage(run / 'checkpoints/6')
  with pytest.raises(ValueError, match=r'6 is damaged: .*; if it is the last'):
    checkpoint.refuse(f'{run}/checkpoints/6')
  with checkpoint.Checkpoints(str(run), **EVERY) as checkpoints:
    assert checkpoints.latest() == 3
    restored = checkpoints.restore(placed(state(0)), 3)
    out = capsys.readouterr().out
    assert 'checkpoints/6 is DAMAGED: ' in out
    assert said in out
    # Trained anew, the step is saved anew.
    checkpoints.save(state(6), 6)
  jax.tree.map(np.testing.assert_array_equal, restored, state(3))
  assert sorted(os.listdir(run / 'checkpoints')) == ['3', '6', '6.damaged']
  assert not proof.judge(f'{run}/checkpoints/6')


def test_every_file_is_looked_at(whole, run):
  folder = run / 'checkpoints/6'
  for name in digests.names(folder):
    flip(folder / name, 77)
    assert proof.judge(str(folder)).startswith(name)
    flip(folder / name, 77)
  assert not proof.judge(str(folder))
  # Also the last bits of the digests, and those between its lines.
  text = (folder / 'digests.json').read_bytes()
  for bit in (*range(80), *range(8 * len(text) - 20, 8 * len(text))):
    flip(folder / 'digests.json', bit)
    assert proof.judge(str(folder)).startswith('digests.json')
    flip(folder / 'digests.json', bit)


def test_a_bad_sector_is_damage_and_a_file_system_that_is_away_is_not(
  run, monkeypatch
):
  folder = str(run / 'checkpoints/6')
  failing = [errno.EIO, errno.ESTALE]

  def fails(crc, block):
    raise OSError(failing[0], os.strerror(failing[0]))

  monkeypatch.setattr(digests.google_crc32c, 'extend', fails)
  assert 'cannot be read (Input/output error), and ' in proof.judge(folder)
  failing.pop(0)
  with pytest.raises(OSError, match='Stale'):
    proof.judge(folder)


def test_nobody_starts_from_damage(run):
  flip(largest(run / 'checkpoints/6'), 9)
  new = {'a': {'kernel': jnp.zeros((16, 24))}}
  places = jax.tree.map(lambda x: x.sharding, new)
  with pytest.raises(ValueError, match=r'checkpoints/6 is damaged: .*other'):
    init_from.start_from(new, places, path=str(run))
  with pytest.raises(ValueError, match=r'checkpoints/6 is damaged: .*other'):
    checkpoint.read(str(run))
  np.testing.assert_array_equal(
    checkpoint.read(str(run), step=3)['a']['kernel'],
    state(3).params['a']['kernel'],
  )


def test_without_a_good_one_a_run_begins_anew(run, capsys):
  emptied(run / 'checkpoints/3')
  flip(largest(run / 'checkpoints/6'), 9)
  with checkpoint.Checkpoints(str(run), **EVERY) as checkpoints:
    assert checkpoints.latest() is None
  assert 'run is left: it begins anew' in capsys.readouterr().out


def test_who_was_killed_before_the_digests_loses_nothing(run, capsys):
  (run / 'checkpoints/6/digests.json').unlink()
  with checkpoint.Checkpoints(str(run), **EVERY) as checkpoints:
    assert checkpoints.latest() == 6
  assert 'checkpoints/6 has no digests.json' in capsys.readouterr().out
  assert not proof.judge(f'{run}/checkpoints/6')


@pytest.mark.parametrize('size', [0, 100])
def test_without_digests_what_is_cut_off_is_found(run, size, capsys):
  (run / 'checkpoints/6/digests.json').unlink()
  cut(largest(run / 'checkpoints/6'), size)
  with checkpoint.Checkpoints(str(run), **EVERY) as checkpoints:
    assert checkpoints.latest() == 3
  assert 'is DAMAGED: it cannot be read' in capsys.readouterr().out


def test_a_reader_waits_for_digests_that_are_being_written(
  run, monkeypatch, capsys
):
  folder = run / 'checkpoints/6'
  (folder / 'digests.json').unlink()
  with monkeypatch.context() as patch:
    patch.setattr(reading, '_age', lambda folder: 3.0)
    patch.setattr(reading.time, 'sleep', lambda _: proof.write(str(folder)))
    checkpoint.refuse(str(folder))
  assert not capsys.readouterr().out
  (folder / 'digests.json').unlink()
  monkeypatch.setattr(reading, '_age', lambda folder: 90.0)
  checkpoint.refuse(str(folder))
  assert 'is read without proof' in capsys.readouterr().out


def test_a_save_that_fails_is_told_and_is_no_checkpoint(
  run, monkeypatch, capsys
):
  """Orbax counts it among its steps from the moment that it begins."""

  async def full(self):
    raise OSError(5, 'Input/output error')

  path = atomicity.AtomicRenameTemporaryPath
  with checkpoint.Checkpoints(str(run), **EVERY) as checkpoints:
    with monkeypatch.context() as patch:
      patch.setattr(path, 'finalize', full)
      checkpoints.save(state(9), 9)
      with pytest.raises(OSError, match='Input/output'):
        checkpoints.save(state(12), 12)
    assert checkpoints.latest() == 6
    said = capsys.readouterr().out
    assert 'the save of step 9 has FAILED: ' in said
    assert 'The last good step is 6' in said
    # Who catches it can save the same step.
    checkpoints.save(state(9), 9)
    checkpoints.wait()
    assert checkpoints.latest() == 9
  with pytest.raises(OSError, match='Input/output'):
    fails_at_last(run, monkeypatch, path, full)
  assert checkpoint.steps(str(run)) == [3, 6, 9]


def fails_at_last(run, monkeypatch, path, full):
  with checkpoint.Checkpoints(str(run), **EVERY) as checkpoints:
    monkeypatch.setattr(path, 'finalize', full)
    checkpoints.save(state(12), 12)


def test_digests_are_of_every_byte(tmp_path):
  """Those of an object store are compared with those of a disk."""
  (tmp_path / 'below').mkdir()
  (tmp_path / 'below/a').write_bytes(b'123456789')
  (tmp_path / 'b').write_bytes(bytes(range(256)) * (1 << 15))  # two blocks
  names = ['b', 'below/a']
  assert digests.names(tmp_path) == names
  found = digests.of(tmp_path, [*names, 'c'])
  assert found.keys() == {*names}
  # The check values of both sums.
  check = {'bytes': 9, 'crc32': 'cbf43926', 'crc32c': 'e3069283'}
  assert found['below/a'] == check
  assert found['b']['bytes'] == 1 << 23
  md5 = {'bytes': 9, 'crc32c': 'e3069283', 'md5': '25f9e794323b4538'}
  assert digests.same(check, md5)
  assert not digests.same(check, {**md5, 'crc32c': 'e3069284'})
  json.dumps(found)
