"""Whom retention must not take a checkpoint from, and how both sides agree."""

import json
import os
import time

import jax.numpy as jnp
import pytest

from train import checkpoint, retention
from train.step import State


@pytest.fixture
def saved(tmp_path):
  """A run that keeps one checkpoint; `saved(step)` saves and waits."""
  with checkpoint.Checkpoints(
    str(tmp_path), every=1, keep=1, keep_every=None
  ) as checkpoints:

    def save(step):
      state = State(jnp.asarray(step), {'a': jnp.ones(3)}, ())
      checkpoints.save(state, step)
      checkpoints._manager.wait_until_finished()

    yield save


def steps(run):
  return sorted(int(path.name) for path in (run / 'checkpoints').iterdir())


def test_a_pinned_checkpoint_stays_until_it_is_let_go(saved, tmp_path):
  saved(1)
  with retention.hold(str(tmp_path), 1) as there:
    assert there
    (pin,) = tmp_path.glob('pins/1.*.json')
    assert f'.{os.getpid()}.' in pin.name
    saved(2)
    saved(3)
    assert steps(tmp_path) == [1, 3]
  saved(4)
  assert steps(tmp_path) == [4]
  assert not list(tmp_path.glob('pins/1.*'))


def test_each_holder_has_a_pin_of_its_own(tmp_path):
  with retention.hold(str(tmp_path), 1):
    with retention.hold(str(tmp_path), 1):
      assert len(list(tmp_path.glob('pins/1.*'))) == 2
    assert retention.pinned(str(tmp_path)) == {1}
  assert retention.pinned(str(tmp_path)) == set()


def test_a_run_that_cannot_be_written_to_can_be_read(tmp_path, capsys):
  (tmp_path / 'checkpoints/1').mkdir(parents=True)
  (tmp_path / 'pins').touch()  # in the way of the folder
  with retention.hold(str(tmp_path), 1) as there:
    assert there
  assert 'cannot pin step 1' in capsys.readouterr().out


def test_a_pin_that_is_not_renewed_counts_no_more(saved, tmp_path):
  saved(1)
  folder = tmp_path / 'pins'
  pin = folder / '1.some.host.example.77.json'
  pin.write_text('{}')
  assert retention.pinned(str(tmp_path)) == {1}
  before = time.time() - retention.STALE - 1
  os.utime(pin, (before, before))
  assert retention.pinned(str(tmp_path)) == set()
  saved(2)
  assert steps(tmp_path) == [2]
  fresh = folder / '2.other.78.json'
  fresh.write_text('{}')
  retention.sweep(str(tmp_path))
  assert not pin.exists()
  assert fresh.exists()


def test_a_pin_is_renewed(tmp_path):
  with retention.hold(str(tmp_path), 1, every=0.01) as there:
    assert not there
    (pin,) = tmp_path.glob('pins/1.*.json')
    first = json.loads(pin.read_text())['time']
    deadline = time.monotonic() + 20
    while json.loads(pin.read_text())['time'] == first:
      assert time.monotonic() < deadline
      time.sleep(0.01)


def test_a_reader_who_comes_after_the_decision_is_told(
  saved, tmp_path, monkeypatch
):
  """The decision falls when the next save begins, long before the deletion."""
  seen = []
  pinned = retention.pinned

  def late(run):
    found = pinned(run)
    with retention.hold(run, 1) as there:
      seen.append(there)
    return found

  saved(1)
  monkeypatch.setattr(retention, 'pinned', late)
  saved(2)
  assert seen == [False]
  monkeypatch.undo()
  with retention.hold(str(tmp_path), 2) as there:
    assert there
