import collections
import fcntl
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train import checkpoint, guard, start
from train.step import State


def test_the_first_bad_group_is_named():
  metrics = {
    'train/loss': 0.5,
    'optim/grad_norm': np.nan,
    'optim/grad_norm/encoder/posenc': 1.0,
    'optim/grad_norm/processor/layers': np.nan,
    'optim/grad_norm/head/kernel': np.inf,
  }
  message = r"step 7: .* not finite in 'processor/layers' and 1 more"
  with pytest.raises(FloatingPointError, match=message):
    guard.check_finite(7, metrics)
  guard.check_finite(7, {'train/loss': 1.0, 'optim/grad_norm': 2.0})


def state(width=3, **extra):
  params = {'a': {'kernel': jnp.ones((2, width))}, **extra}
  return State(jnp.int32(4), params, {'mu': jnp.zeros(2)})


def places(tree):
  device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  return jax.tree.map(lambda _: device, tree)


@pytest.fixture
def saved(tmp_path):
  with checkpoint.Checkpoints(str(tmp_path), every=1) as checkpoints:
    checkpoints.save(state(), 4)
  return str(tmp_path)


@pytest.mark.parametrize(
  ('other', 'message'),
  [
    (state(width=5), r'params/a/kernel is \(2, 3\) there, \(2, 5\) here'),
    (state(b=jnp.ones(1)), r'params/b \(1,\) is missing'),
    (state()._replace(opt_state={}), r"does not have: \['opt_state/mu'\]"),
  ],
)
def test_a_checkpoint_of_another_architecture_is_refused(saved, other, message):
  with (
    checkpoint.Checkpoints(saved, every=1) as checkpoints,
    pytest.raises(ValueError, match=message),
  ):
    checkpoints.restore(other, places(other), 4)


def test_parameters_go_where_they_are_asked_for(saved):
  new = {'backbone': {'a': {'kernel': jnp.zeros((2, 3))}}, 'head': jnp.ones(1)}
  loaded = checkpoint.start_from(new, places(new), path=saved, at='backbone')
  assert (loaded['backbone']['a']['kernel'] == 1).all()
  assert loaded['head'] == 1
  with pytest.raises(ValueError, match=r"at='body' must be one of"):
    checkpoint.start_from(new, places(new), path=saved, at='body')
  with pytest.raises(ValueError, match='no checkpoint of step 3'):
    checkpoint.find(saved, 3)


def test_a_full_disk_is_seen_before_the_first_step(tmp_path, monkeypatch):
  usage = collections.namedtuple('usage', 'total used free')
  monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(9, 9, 0))
  with (
    checkpoint.Checkpoints(str(tmp_path), every=1) as checkpoints,
    pytest.raises(ValueError, match=r'0\.00 GB free, checkpoints need'),
  ):
    checkpoints.check_space(state())


def test_a_disk_that_fills_up_loses_no_checkpoint(tmp_path, monkeypatch):
  usage = collections.namedtuple('usage', 'total used free')
  with checkpoint.Checkpoints(str(tmp_path), every=1) as checkpoints:
    checkpoints.save(state(), 1)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(9, 9, 0))
    with pytest.raises(ValueError, match='the same command: it goes on after'):
      checkpoints.save(state(), 2)
  assert checkpoint.find(str(tmp_path))[1] == 1


def test_retention_keeps_the_last_and_the_milestones(tmp_path):
  with checkpoint.Checkpoints(
    str(tmp_path), every=1, keep=2, keep_every=4
  ) as checkpoints:
    for step in range(1, 8):
      checkpoints.save(state(), step)
  kept = sorted(int(p.name) for p in (tmp_path / 'checkpoints').iterdir())
  assert kept == [4, 6, 7]


def test_a_folder_with_nothing_in_it_is_claimed_anew(tmp_path, capsys):
  guard.claim_workdir(str(tmp_path), {'a': 1})
  guard.claim_workdir(str(tmp_path), {'a': 2})
  assert json.loads((tmp_path / 'config.json').read_text()) == {'a': 2}
  assert 'a: 1 there, 2 now), which saved nothing' in capsys.readouterr().out
  # An unfinished write is no checkpoint.
  (tmp_path / 'checkpoints/3.orbax-checkpoint-tmp').mkdir(parents=True)
  guard.claim_workdir(str(tmp_path), {'a': 3})
  with pytest.raises(ValueError, match=r'another config .a: 3 there, 4 now'):
    guard.claim_workdir(str(tmp_path), {'a': 4}, anew=False)
  (tmp_path / 'result.json').touch()
  with pytest.raises(ValueError, match=r'another config .a: 3 there, 4 now'):
    guard.claim_workdir(str(tmp_path), {'a': 4})
  (tmp_path / 'result.json').unlink()
  (tmp_path / 'checkpoints/3').mkdir()
  with pytest.raises(ValueError, match=r'another config .a: 3 there, 4 now'):
    guard.claim_workdir(str(tmp_path), {'a': 4})
  guard.claim_workdir(str(tmp_path), {'a': 3})


def test_a_run_that_goes_on_keeps_its_folder(tmp_path):
  """Another process claimed it, and has not saved yet."""
  (tmp_path / 'config.json').write_text('{"a": 1}')
  with open(tmp_path / 'claim', 'w') as other:
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(ValueError, match='in use by a run of another config'):
      guard.claim_workdir(str(tmp_path), {'a': 2})
  guard.claim_workdir(str(tmp_path), {'a': 2})
  with open(tmp_path / 'claim') as other:
    with pytest.raises(BlockingIOError):
      fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    guard.claim_workdir(str(tmp_path / 'next'), {'a': 2})
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_profile_steps_are_two_numbers():
  assert start.step_range(['3', '5']) == (3, 5)
  assert start.step_range([]) is None
  for words in (['3'], ['5', '3'], ['a', 'b']):
    with pytest.raises(ValueError, match='profile_steps'):
      start.step_range(words)
