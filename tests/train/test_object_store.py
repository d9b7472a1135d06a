"""A run whose folder is in an object store is a run like any other."""

import contextlib
import errno
import json
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from base import claim, exits, files, jsons
from models import objective as objective_lib
from tests.train.test_processes import command, in_two_processes
from train import (
  checkpoint,
  executable,
  loop,
  progress,
  retention,
  stop,
  workdir,
)
from train import writer as writer_lib
from train.checkpoint import folders
from train.step import State
from train.writer import background

pytestmark = pytest.mark.usefixtures('shared_programs')


def run(config, folder, **options):
  objective = objective_lib.make(**config['model'])
  return loop.run(config, objective, str(folder), **options)


def lines(path):
  return jsons.read_lines(path, {'step': int}, '')


def losses(folder):
  """[(step, loss)] of metrics.jsonl."""
  found = lines(files.path(str(folder)) / 'metrics.jsonl')
  return [(x['step'], x['train/loss']) for x in found if 'train/loss' in x]


def assert_same(a, b):
  jax.tree.map(
    np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b)
  )


@contextlib.contextmanager
def stopped_after(step):
  """Inside, a run is told to stop after one step, and does."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(stop.StopRequest, 'requested', lambda _, now: now == step)
    with pytest.raises(exits.Again):
      yield


@pytest.mark.slow
def test_a_run_is_stopped_and_goes_on_as_on_a_disk(
  tiny_config, tmp_path, bucket, capsys, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  config = tiny_config(**{'eval.every': 0})
  whole = run(config, tmp_path / 'whole')
  with stopped_after(4):
    run(config, bucket)
  resumed = run(config, bucket)
  assert f'{bucket} goes on at step 4 of 6' in capsys.readouterr().out
  assert_same(resumed, whole)
  assert losses(bucket) == losses(tmp_path / 'whole')
  assert [step for step, _ in losses(bucket)] == [1, 2, 3, 4, 5, 6]
  environments = files.read_bytes(f'{bucket}/environment.jsonl').decode()
  assert len(environments.splitlines()) == 2
  assert files.names(bucket) == [
    *('checkpoints', 'config.json', 'environment.jsonl', 'goodput.json'),
    *('metrics.jsonl', 'pins'),
  ]
  # Nothing is taken for a folder of this machine.
  assert [each.name for each in tmp_path.iterdir()] == ['whole']


@pytest.mark.slow
def test_all_that_a_run_leaves_on_a_disk_is_there(tiny_config, bucket, capsys):
  config = tiny_config(
    **{'log.tensorboard': True, 'log.wandb': 'offline', 'compile.keep': True}
  )
  # What JAX's cache has, a run does not keep.
  with executable.without_cache():
    with stopped_after(4):
      run(config, bucket, profile_steps=(3, 4))
    run(config, bucket)
  assert 'the compiled step is loaded' in capsys.readouterr().out
  there = files.names(bucket)
  # Of each start, one that says so and one of its values.
  assert len([x for x in there if x.startswith('events.out.tfevents')]) == 4
  # The last start wrote what was before it too.
  assert len(files.names(f'{bucket}/wandb')) == 1
  assert files.exists(f'{bucket}/wandb_id.txt')
  pictures = files.read_bytes(f'{bucket}/pictures/6/reconstruction.png')
  assert pictures[:4] == b'\x89PNG'
  assert files.names(f'{bucket}/profile/plugins/profile')
  assert progress.read(bucket).buckets()['PROGRAM_STARTUP'] > 0


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_numbers(
  tiny_config, tmp_path, bucket
):
  """Its claim is still there, and what it was saving."""
  changes = {'steps': 40, 'checkpoint.every': 5}
  subprocess.run(
    command(tiny_config, tmp_path / 'whole', **changes), check=True
  )
  line = command(tiny_config, bucket, **changes)
  for count in (1, 3):
    killed = subprocess.Popen(line)
    deadline = time.monotonic() + 600
    while len(checkpoint.steps(bucket)) < count:
      assert time.monotonic() < deadline
      assert killed.poll() is None
      time.sleep(0.1)
    killed.kill()
    killed.wait()
    assert 'claim' in files.names(bucket)
  subprocess.run(line, check=True)
  assert losses(bucket) == losses(tmp_path / 'whole')
  assert 'claim' not in files.names(bucket)


@pytest.mark.slow
def test_two_processes_are_one_run(tiny_config, tmp_path, bucket):
  changes = {'mesh.replica': 2, 'mesh.fsdp': 4, 'mesh.tensor': 1}
  subprocess.run(command(tiny_config, tmp_path / 'one', **changes), check=True)
  line = command(tiny_config, bucket, **changes)
  in_two_processes(line)
  one, two = losses(tmp_path / 'one'), losses(bucket)
  assert dict(two) == pytest.approx(dict(one), abs=1e-5)
  # As a kill leaves it that came while step 6 was written.
  files.remove(f'{bucket}/checkpoints/6/digests.json')
  files.remove(f'{bucket}/checkpoints/6/commit_success.txt')
  assert checkpoint.steps(bucket) == [3]
  in_two_processes(line)
  assert checkpoint.steps(bucket) == [3, 6]
  assert losses(bucket) == two


def test_a_checkpoint_without_its_last_file_is_none(bucket):
  """A kill while it was written, or a copy, leaves it so."""
  for step in (1, 2):
    for name in ('_CHECKPOINT_METADATA', 'default/_METADATA'):
      files.write(f'{bucket}/checkpoints/{step}/{name}', '{}')
  assert not workdir.has_begun(bucket)
  with retention.hold(bucket, 1) as there:
    assert not there
  with pytest.raises(
    ValueError, match=r'of step 1, 2 lack commit_success\.txt'
  ):
    checkpoint.find(bucket)
  with pytest.raises(ValueError, match='holds no checkpoint: expected gs://'):
    checkpoint.find(f'{bucket}/no')
  files.write(f'{bucket}/checkpoints/1/commit_success.txt', '')
  assert checkpoint.steps(bucket) == [1]
  assert checkpoint.find(bucket) == (f'{bucket}/checkpoints/1', 1)
  assert workdir.has_begun(bucket)
  with retention.hold(bucket, 1) as there:
    assert there
    assert retention.pinned(bucket) == {1}
  assert retention.pinned(bucket) == set()


@pytest.mark.parametrize(
  ('name', 'said'),
  [
    ('default/manifest.ocdbt', 'default/manifest.ocdbt has 4 bytes, of'),
    ('default/_METADATA', 'default/_METADATA holds other bytes'),
    ('commit_success.txt', 'commit_success.txt is missing'),
    ('digests.json', 'digests.json is not as it was written'),
  ],
)
def test_damage_is_named_and_set_aside_without_a_rename(
  bucket, name, said, capsys
):
  state = State(jnp.asarray(0), {'a': jnp.ones(3)}, ())
  options = {'every': 1, 'keep': 3, 'keep_every': None}
  with checkpoint.Checkpoints(bucket, **options) as checkpoints:
    checkpoints.save(state, 3)
    checkpoints.save(state, 6)
  path = f'{bucket}/checkpoints/6/{name}'
  data = files.read_bytes(path)
  files.remove(path)
  if name == 'default/manifest.ocdbt':
    files.write(path, data[:4])
  elif name != 'commit_success.txt':
    files.write(path, data[:20] + bytes([data[20] ^ 1]) + data[21:])
  with pytest.raises(
    ValueError, match=f'6 is damaged: {said}.*; if it is the '
  ):
    checkpoint.read(bucket)
  with checkpoint.Checkpoints(bucket, **options) as checkpoints:
    assert checkpoints.latest() == 3
    assert checkpoint.steps(bucket) == [3]
    aside = {*files.names(f'{bucket}/checkpoints/6')}
    assert 'damaged.json' in aside
    assert 'commit_success.txt' not in aside
    assert f'6 is DAMAGED: {said}' in capsys.readouterr().out
    checkpoints.save(state, 6)
  assert checkpoint.steps(bucket) == [3, 6]
  checkpoint.read(bucket)
  assert 'damaged.json' not in files.names(f'{bucket}/checkpoints/6')


def test_who_is_killed_while_setting_aside_goes_on_with_it(bucket):
  for step in (3, 6):
    files.write(f'{bucket}/checkpoints/{step}/commit_success.txt', '')
  files.write(f'{bucket}/checkpoints/6/damaged.json', '{}')
  assert checkpoint.steps(bucket) == [3]
  folders.hide(bucket)
  # Nor does Orbax take it for one.
  assert files.names(f'{bucket}/checkpoints/6') == ['damaged.json']
  assert files.names(f'{bucket}/checkpoints/3') == ['commit_success.txt']


def test_a_pin_is_as_old_as_it_says(bucket):
  old = time.time() - retention.STALE - 1
  files.write(f'{bucket}/pins/1.host.7.0.json', json.dumps({'time': old}))
  files.write(
    f'{bucket}/pins/2.host.7.0.json', json.dumps({'time': time.time()})
  )
  assert retention.pinned(bucket) == {2}
  retention.sweep(bucket)
  assert files.names(f'{bucket}/pins') == ['2.host.7.0.json']


def test_what_is_read_elsewhere_stays_and_what_is_not_goes_one_save_later(
  bucket,
):
  """The store is asked while the run trains."""
  state = State(jnp.asarray(0), {'a': jnp.ones(3)}, ())
  with checkpoint.Checkpoints(
    bucket, every=1, keep=1, keep_every=None
  ) as checkpoints:

    def save(step):
      checkpoints.save(state, step)
      checkpoints.wait()
      if checkpoints._retention._asked:
        checkpoints._retention._asked.result()

    save(1)
    with retention.hold(bucket, 1) as there:
      assert there
      for step in (2, 3, 4):
        save(step)
      assert checkpoint.steps(bucket) == [1, 3, 4]
      with retention.hold(bucket, 3) as there:
        assert not there
    save(5)
    save(6)
    assert checkpoint.steps(bucket) == [5, 6]


def test_logs_are_there_before_the_run_ends(bucket, monkeypatch):
  """Now and then, and with every checkpoint; a start goes on with them."""
  options = {
    **{'config': {}, 'attempt': 3, 'every': 1, 'tensorboard': False},
    **{'wandb': 'disabled', 'wandb_project': '', 'wandb_group': ''},
  }
  path = f'{bucket}/metrics.jsonl'
  files.write(path, '{"step": 1}\n{"step": 2}\n')
  with writer_lib.Writer(bucket, start=1, **options) as writer:
    writer.scalars(2, {'train/loss': 2.0})
    writer.flush()
    assert len(lines(path)) == 2
    writer.bring()
    writer.flush()
    assert lines(path) == [
      {'step': 1},
      {'step': 2, 'run/attempt': 3, 'train/loss': 2.0},
    ]
    monkeypatch.setattr(background.mirror, 'EVERY', 0.0)
    monkeypatch.setattr(writer._mirror, '_next', 0.0)
    writer.scalars(3, {'train/loss': 1.0})
    writer.flush()
    assert [x['step'] for x in lines(path)] == [1, 2, 3]
    writer.quarantine({'record': 7})
    writer.scalars(4, {'train/loss': 0.5})
  assert [x['step'] for x in lines(path)] == [1, 2, 3, 4]
  refused = jsons.read_lines(f'{bucket}/quarantine.jsonl', dict, '')
  assert refused == [{'record': 7}]


def test_a_store_that_is_away_for_a_while_stops_no_run(
  bucket, monkeypatch, capsys
):
  options = {
    **{'config': {}, 'attempt': 3, 'every': 1, 'tensorboard': False},
    **{'wandb': 'disabled', 'wandb_project': '', 'wandb_group': ''},
  }

  def away(self):
    raise OSError(errno.EIO, 'the object store cannot be used')

  with writer_lib.Writer(bucket, start=0, **options) as writer:
    with monkeypatch.context() as patch:
      patch.setattr(background.mirror.Mirror, 'bring', away)
      writer.scalars(1, {'train/loss': 2.0})
      writer.bring()
      writer.flush()
    assert f'not brought to {bucket} yet' in capsys.readouterr().out
  assert [x['step'] for x in lines(f'{bucket}/metrics.jsonl')] == [1]


def test_a_run_that_was_taken_over_saves_nothing(
  tiny_config, bucket, monkeypatch
):
  def taken(self):
    raise RuntimeError('taken over by another')

  monkeypatch.setattr(claim._Claim, 'check', taken)
  with pytest.raises(RuntimeError, match='taken over'):
    run(tiny_config(**{'eval.every': 0}), bucket)
  assert checkpoint.steps(bucket) == []


def test_a_run_in_use_elsewhere_is_refused_as_on_a_disk(bucket):
  held = {**claim._Claim(f'{bucket}/claim').about, 'id': 'other'}
  files.write(f'{bucket}/claim', json.dumps(held | {'time': time.time()}))
  with (
    pytest.raises(ValueError, match=r'--workdir=gs://.* is in use by process'),
    workdir.claim(bucket, {'a': 1}),
  ):
    pass
  assert files.names(bucket) == ['claim']


@pytest.mark.slow
def test_parameters_come_from_a_run_there(tiny_config, tmp_path, bucket):
  steps = {'steps': 1, 'eval.every': 0, 'optim.warmup_fraction': 0.0}
  first = run(tiny_config(**steps), bucket)
  changes = {'init_from.path': bucket, 'optim.lr': 1e-12}
  second = run(
    tiny_config(**steps, **changes, **{'optim.weight_decay': 0.0}),
    tmp_path / 'second',
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9),
    jax.device_get(first.params),
    jax.device_get(second.params),
  )


def test_a_published_file_there_is_refused_with_what_to_do(
  tiny_config, tmp_path, bucket
):
  """It is mapped into memory."""
  files.write(f'{bucket}/b.npz', b'PK')
  config = tiny_config(**{'init_from.path': f'{bucket}/b.npz'})
  with pytest.raises(ValueError, match=r'object store.*copy it to a disk'):
    run(config, tmp_path / 'run')
