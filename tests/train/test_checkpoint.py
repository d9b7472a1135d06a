import collections
import shutil

import jax
import jax.numpy as jnp
import pytest

from train import checkpoint, init_from
from train.step import State

EVERY = {'every': 1, 'keep': 3, 'keep_every': None}  # checkpoints


def state(width=3, **extra):
  params = {'a': {'kernel': jnp.ones((2, width))}, **extra}
  return State(jnp.int32(4), params, {'mu': jnp.zeros(2)})


def places(tree):
  device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  return jax.tree.map(lambda _: device, tree)


def placed(tree):
  return jax.tree.map(
    lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
    tree,
    places(tree),
  )


@pytest.fixture
def saved(tmp_path):
  with checkpoint.Checkpoints(str(tmp_path), **EVERY) as checkpoints:
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
    checkpoint.Checkpoints(saved, **EVERY) as checkpoints,
    pytest.raises(ValueError, match=message),
  ):
    checkpoints.restore(placed(other), 4)


def test_parameters_go_where_they_are_asked_for(saved):
  new = {'backbone': {'a': {'kernel': jnp.zeros((2, 3))}}, 'head': jnp.ones(1)}
  loaded = init_from.start_from(new, places(new), path=saved, at='backbone')
  assert (loaded['backbone']['a']['kernel'] == 1).all()
  assert loaded['head'] == 1
  with pytest.raises(ValueError, match=r"at='body' must be one of"):
    init_from.start_from(new, places(new), path=saved, at='body')
  with pytest.raises(ValueError, match='no checkpoint of step 3'):
    checkpoint.find(saved, 3)


def test_a_full_disk_is_seen_before_the_first_step(tmp_path, monkeypatch):
  usage = collections.namedtuple('usage', 'total used free')
  monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(9, 9, 0))
  with (
    checkpoint.Checkpoints(str(tmp_path), **EVERY) as checkpoints,
    pytest.raises(ValueError, match=r'0\.00 GB free, checkpoints need'),
  ):
    checkpoints.check_space(state())


@pytest.mark.parametrize(
  ('keep', 'there', 'copies'), [(3, 0, 2), (1, 0, 2), (1, 1, 1)]
)
def test_space_is_asked_for_what_comes_on_top(
  tmp_path, monkeypatch, keep, there, copies
):
  """The next one and the one after it; once all are there, one more."""
  usage = collections.namedtuple('usage', 'total used free')
  size = sum(leaf.nbytes for leaf in jax.tree.leaves(state()))
  options = {'every': 1, 'keep': keep, 'keep_every': None}
  with checkpoint.Checkpoints(str(tmp_path), **options) as checkpoints:
    for step in range(1, there + 1):
      checkpoints.save(state(), step)
  with checkpoint.Checkpoints(str(tmp_path), **options) as checkpoints:
    free = copies * size
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(9, 9, free))
    checkpoints.check_space(state())
    free -= 1
    with pytest.raises(ValueError, match='free some space'):
      checkpoints.check_space(state())


def test_a_disk_that_fills_up_loses_no_checkpoint(tmp_path, monkeypatch):
  usage = collections.namedtuple('usage', 'total used free')
  with checkpoint.Checkpoints(str(tmp_path), **EVERY) as checkpoints:
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
