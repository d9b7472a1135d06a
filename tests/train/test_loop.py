"""A run as its user sees it: files, curves, stopping and going on."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import threading

import jax
import numpy as np
import pytest

from base import command, exits
from data import examples, pipeline
from models import objective as objective_lib
from train import checkpoint, evaluate, feed, loop, progress, stop, workdir

pytestmark = pytest.mark.usefixtures('shared_programs')


def run(config, workdir, **options):
  objective = objective_lib.make(**config['model'])
  return loop.run(config, objective, str(workdir), **options)


def curve(workdir):
  """{step: loss} of metrics.jsonl; fails on a step written twice."""
  lines = [
    json.loads(x) for x in (workdir / 'metrics.jsonl').read_text().splitlines()
  ]
  losses = [(x['step'], x['train/loss']) for x in lines if 'train/loss' in x]
  assert len(dict(losses)) == len(losses)
  return dict(losses)


def samples(workdir):
  """{step: hash of what the run was trained on} of metrics.jsonl."""
  lines = [
    json.loads(x) for x in (workdir / 'metrics.jsonl').read_text().splitlines()
  ]
  return {x['step']: x['data/samples'] for x in lines if 'data/samples' in x}


def assert_same(a, b):
  jax.tree.map(
    np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b)
  )


@contextlib.contextmanager
def stopped_after(step):
  """Inside, a run sees a stop request after one step, and must end by it."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(stop.StopRequest, 'requested', lambda _, now: now == step)
    with pytest.raises(exits.Again, match=f'after step {step}:'):
      yield


def test_a_run_leaves_what_a_stranger_needs(tiny_config, tmp_path, capsys):
  log = {'tensorboard': True, 'wandb': 'offline', 'wandb_group': 'a-sweep'}
  log = {f'log.{key}': value for key, value in log.items()}
  config = tiny_config(**log | {'seed': 3})
  state = run(config, tmp_path)
  assert int(state.step) == 6
  # It began with the parameters of its seed, and six steps go not far.
  objective = objective_lib.make(**config['model'])
  clips = {'video': np.zeros([1, 4, 16, 24, 3], np.uint8)}
  begun = jax.jit(lambda key: objective.init(key, clips))(jax.random.key(3))
  moved = state.params['head']['kernel'] - begun['head']['kernel']
  assert np.abs(moved).max() < 0.05 < np.abs(begun['head']['kernel']).max()
  assert json.loads((tmp_path / 'config.json').read_text())['steps'] == 6
  lines = [
    json.loads(x) for x in (tmp_path / 'metrics.jsonl').read_text().splitlines()
  ]
  names = {name for line in lines for name in line}
  assert names >= {
    'train/loss',
    'eval/loss',
    'optim/lr',
    'optim/grad_norm',
    'speed/clips_per_sec_per_chip',
    'time/data_wait_sec',
  }
  assert list(tmp_path.glob('events.out.tfevents*'))
  (logged,) = tmp_path.glob('wandb/offline-run-*/*.wandb')
  assert b'a-sweep' in logged.read_bytes()
  assert (tmp_path / 'pictures/6/reconstruction.png').stat().st_size > 500
  assert progress.read(tmp_path).seconds['compile'] > 0
  (start,) = (tmp_path / 'environment.jsonl').read_text().splitlines()
  start = json.loads(start)
  assert start['command'] == sys.orig_argv
  assert start['packages']['jax'] == jax.__version__
  assert start['devices']['count'] == 8
  assert start['commit'] is None or len(start['commit']) == 40
  out = capsys.readouterr().out
  assert out.index('compiling the step') < out.index('step 1/6')
  assert 'step 6/6' in out
  assert re.search(r'goodput \d+\.\d% of .*: 1 start, 6 steps, 0 of', out)
  assert 'ETA' in out


def test_a_resumed_run_is_the_uninterrupted_one(tiny_config, tmp_path, capsys):
  config = tiny_config(**{'step.ema': 0.9, 'step.accumulate': 2})
  # What is watched is neither seen in the bits nor part of what a run is.
  config['health'] |= {'every': 2}
  whole = run(config, tmp_path / 'whole')
  with stopped_after(4):
    run(config, tmp_path / 'cut')
  config['health'] |= {'every': 0}
  resumed = run(config, tmp_path / 'cut')
  assert 'goes on at step 4' in capsys.readouterr().out
  assert_same(resumed, whole)
  assert curve(tmp_path / 'cut') == curve(tmp_path / 'whole')
  assert samples(tmp_path / 'cut') == samples(tmp_path / 'whole')
  assert len(set(samples(tmp_path / 'whole').values())) == 6
  for name, steps in (('whole', [2, 4, 6]), ('cut', [2, 4])):
    lines = (tmp_path / name / 'metrics.jsonl').read_text().splitlines()
    lines = [x for x in map(json.loads, lines) if 'health/feature_rank' in x]
    assert [x['step'] for x in lines] == steps
    assert all('health/grad_norm/processor/layers/2' in x for x in lines)


def test_steps_after_the_checkpoint_of_a_killed_run_are_run_again(
  tiny_config, tmp_path
):
  config = tiny_config()
  with stopped_after(5):
    run(config, tmp_path)
  # As a kill after step 5 leaves it: logs to step 5, checkpoint of step 3.
  shutil.rmtree(tmp_path / 'checkpoints/5')
  with open(tmp_path / 'metrics.jsonl', 'a') as file:
    file.write('{"step": 6, "train/lo')
  run(config, tmp_path)
  assert sorted(curve(tmp_path)) == [1, 2, 3, 4, 5, 6]
  # What watches for jumps can tell the two starts apart.
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  attempts = [(x['step'], x['run/attempt']) for x in map(json.loads, lines)]
  assert dict(attempts) == {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 2}
  bill = progress.read(tmp_path)
  assert (bill.starts, bill.step, bill.redone) == (2, 6, 2)
  assert bill.buckets()['WASTED_PROGRESS_FROM_DISRUPTION'] > 0


def test_a_complete_run_says_so_and_changes_nothing(
  tiny_config, tmp_path, capsys
):
  first = run(tiny_config(), tmp_path)
  log = (tmp_path / 'metrics.jsonl').read_bytes()
  second = run(tiny_config(), tmp_path)
  assert 'is complete: 6 of 6 steps' in capsys.readouterr().out
  assert_same(first, second)
  assert (tmp_path / 'metrics.jsonl').read_bytes() == log


def test_a_complete_run_is_not_read_where_nobody_wants_its_state(
  tiny_config, tmp_path, monkeypatch
):
  run(tiny_config(), tmp_path)
  monkeypatch.setattr(checkpoint.Checkpoints, 'restore', None)
  assert run(tiny_config(), tmp_path, wanted=False) is None


@pytest.mark.slow
def test_a_run_goes_on_on_another_mesh(tiny_config, tmp_path):
  """With the same examples, of which it tells at whatever steps it logs."""
  with stopped_after(3):
    run(tiny_config(**{'log.every': 2}), tmp_path)
  moved = {'mesh.replica': 1, 'mesh.fsdp': 8, 'mesh.tensor': 1}
  config = tiny_config(**moved | {'log.every': 5})
  state = run(config, tmp_path)
  assert int(state.step) == 6
  data = pipeline.make(split='train', **config['data'])
  text, known = '', {}
  for step in range(1, 7):
    word = text.encode() + data.keys(step - 1).to_bytes(8, 'big')
    known[step] = text = hashlib.blake2b(word, digest_size=8).hexdigest()
  assert samples(tmp_path) == {step: known[step] for step in (2, 5, 6)}


def test_other_examples_are_another_hash(tiny_config, tmp_path, monkeypatch):
  """It is of what was trained on, not of what should have been."""
  run(tiny_config(steps=2), tmp_path / 'right')
  batches = pipeline.Pipeline.batches
  monkeypatch.setattr(
    pipeline.Pipeline,
    'batches',
    lambda self, start, **options: batches(self, start + 1, **options),
  )
  run(tiny_config(steps=2), tmp_path / 'wrong')
  right, wrong = samples(tmp_path / 'right'), samples(tmp_path / 'wrong')
  assert not set(right.values()) & set(wrong.values())


def test_signals_save_and_stop(tiny_config, tmp_path, monkeypatch, capsys):
  requested = stop.StopRequest.requested

  def signalled(self, step):
    if step == 2:
      os.kill(os.getpid(), signal.SIGTERM)
    return requested(self, step)

  monkeypatch.setattr(stop.StopRequest, 'requested', signalled)
  with pytest.raises(exits.Again, match=r'after step 2: the same command'):
    run(tiny_config(), tmp_path)
  assert (tmp_path / 'checkpoints/2').is_dir()
  assert 'SIGTERM: saving after this step' in capsys.readouterr().out
  assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_stop_while_data_is_waited_for_saves_the_last_step(
  tiny_config, tmp_path, monkeypatch
):
  part = examples.Examples.part
  over = threading.Event()

  def stuck(self, step, *args, **options):
    if step == 2:
      os.kill(os.getpid(), signal.SIGHUP)
      over.wait()
    return part(self, step, *args, **options)

  monkeypatch.setattr(feed, '_CLOSE_SEC', 0.01)
  monkeypatch.setattr(command, '_at_once', False)
  monkeypatch.setattr(examples.Examples, 'part', stuck)
  with pytest.raises(exits.Again, match=r'after step [12]: the same'):
    run(tiny_config(**{'eval.every': 0}), tmp_path)
  over.set()
  assert not set(os.listdir(tmp_path / 'checkpoints')) & {'3', '4'}
  monkeypatch.undo()
  state = run(tiny_config(**{'eval.every': 0}), tmp_path)
  assert sorted(curve(tmp_path)) == [1, 2, 3, 4, 5, 6]
  assert int(state.step) == 6


@pytest.mark.parametrize('kind', [TimeoutError, exits.Unavailable])
def test_what_was_trained_is_saved_where_data_does_not_come(
  tiny_config, tmp_path, monkeypatch, kind
):
  part = examples.Examples.part

  def stalled(self, step, *args, **options):
    if step == 2:
      raise kind('nothing came')
    return part(self, step, *args, **options)

  config = tiny_config(**{'eval.every': 0})
  with monkeypatch.context() as patch:
    patch.setattr(examples.Examples, 'part', stalled)
    with pytest.raises(kind, match='nothing came'):
      run(config, tmp_path)
  assert checkpoint.steps(str(tmp_path)) == [2]
  run(config, tmp_path)
  assert sorted(curve(tmp_path)) == [1, 2, 3, 4, 5, 6]


def test_what_was_trained_is_saved_where_validation_does_not_come(
  tiny_config, tmp_path, monkeypatch
):
  """Of its data a store may be asked for the first time after hours."""

  def fails(*_, **__):
    raise exits.Unavailable('nothing came')

  monkeypatch.setattr(evaluate.Evaluation, 'run', fails)
  with pytest.raises(exits.Unavailable, match='nothing came'):
    run(tiny_config(**{'eval.every': 2}), tmp_path)
  assert checkpoint.steps(str(tmp_path)) == [2]


def test_nothing_compiles_after_the_first_evaluation(
  tiny_config, tmp_path, monkeypatch
):
  compiled = []
  jax.monitoring.register_event_duration_secs_listener(
    lambda name, *_, **__: (
      compiled.append(name) if 'backend_compile' in name else None
    )
  )
  counts = {}
  monkeypatch.setattr(
    stop.StopRequest,
    'requested',
    lambda self, step: counts.update({step: len(compiled)}),
  )
  # Of a seed that no other test has.
  changes = {'seed': 7, 'eval.every': 0, 'checkpoint.every': 100}
  run(tiny_config(**changes), tmp_path)
  assert counts[1] > 0
  assert counts[6] == counts[1]


def test_nothing_bad_is_saved(tiny_config, tmp_path):
  """The loss of this step is finite, what it makes of the parameters is not."""
  changes = {'optim.lr': 3e38, 'optim.weight_decay': 100.0}
  changes |= {'optim.warmup_fraction': 0.0, 'checkpoint.every': 1}
  config = tiny_config(**changes)
  with pytest.raises(
    FloatingPointError, match=r'step 1: \d+ numbers .*params/'
  ):
    run(config, tmp_path)
  assert not list((tmp_path / 'checkpoints').iterdir())


def test_a_complete_run_is_trained_on_longer(tiny_config, tmp_path, capsys):
  run(tiny_config(steps=4), tmp_path)
  asked = workdir.Asked(longer='rewarm')
  state = run(tiny_config(steps=10), tmp_path, asked=asked)
  assert int(state.step) == 10
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  lines = [x for x in map(json.loads, lines) if 'optim/lr' in x]
  rate = {x['step']: x['optim/lr'] for x in lines}
  assert sorted(rate) == list(range(1, 11))
  # A third of the six steps from 4 on is warm-up: from 0, where it was.
  assert [rate[step] for step in (5, 6, 7)] == pytest.approx([0, 1.5e-3, 3e-3])
  assert 0 < rate[10] < rate[7]
  # The same command, without a word on the rate, knows what was done.
  run(tiny_config(steps=10), tmp_path)
  assert 'is complete: 10 of 10 steps' in capsys.readouterr().out


def test_a_run_that_diverged_goes_on_as_its_message_says(
  tiny_config, tmp_path, capsys
):
  """The first update moves nothing, the second one too far."""
  changes = {'checkpoint.every': 1, 'eval.every': 0, 'skips.most': 1}
  changes |= {'optim.clip_norm': 0.0}
  with pytest.raises(FloatingPointError, match=r'step 4: .*--allow=optim'):
    run(tiny_config(**changes, **{'optim.lr': 1e30}), tmp_path)
  assert workdir.steps(str(tmp_path)) == [1, 2]
  reports = (tmp_path / 'skipped.jsonl').read_text().splitlines()
  step_3, step_4 = map(json.loads, reports)
  assert (step_3['step'], step_4['step']) == (3, 4)
  assert len(step_3['records']['world']) == 8
  assert set(step_3['records']['world']) <= set(range(24))
  changes |= {'optim.clip_norm': 1.0, 'step.skip': (2,)}
  asked = workdir.Asked(allow=['optim', 'step.skip'], back_to=1)
  state = run(tiny_config(**changes), tmp_path, asked=asked)
  assert (int(state.step), int(state.skipped)) == (6, 1)
  assert sorted(curve(tmp_path)) == [1, 2, 3, 4, 5, 6]
  (entry,) = workdir.read_history(str(tmp_path))
  assert entry['changed'] == {
    'optim.clip_norm': [0.0, 1.0],
    'optim.lr': [1e30, 3e-3],
    'step.skip': [[], [2]],
  }
  (line,) = (tmp_path / 'skipped.jsonl').read_text().splitlines()
  assert json.loads(line)['step'] == 2
  # The command of a restart is the same, and does not go back again.
  run(tiny_config(**changes), tmp_path, asked=asked)
  assert 'is complete: 6 of 6 steps' in capsys.readouterr().out


def test_starts_from_another_runs_parameters(tiny_config, tmp_path, capsys):
  first = run(tiny_config(), tmp_path / 'first')
  changes = {
    'init_from.path': str(tmp_path / 'first'),
    'optim.lr': 1e-12,
    'optim.weight_decay': 0.0,
  }
  second = run(tiny_config(**changes), tmp_path / 'second')
  assert 'starting from' in capsys.readouterr().out
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9),
    jax.device_get(first.params),
    jax.device_get(second.params),
  )


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (
      {'data.batch_size': 6},
      r'data\.batch_size=6 must be divisible by the 4 data shards',
    ),
    ({'mesh.fsdp': 3}, r'devices, got 8: change config\.mesh'),
    ({'model.heads': 1}, r'heads=1 must be divisible by config\.mesh\.tensor'),
    ({'model.frames': 8}, r'\(t, h, w\)=\(8, 16, 24\)'),
    ({'data.max_bad': -1.0}, r'data\.max_bad=-1\.0 must be at least 0'),
    ({'init_from.path': '/nowhere.npz'}, r'/nowhere.npz, which does not exist'),
    ({'log.wandb': 'on'}, r"log\.wandb='on' must be one of"),
  ],
)
def test_what_cannot_work_fails_before_the_first_step(
  tiny_config, tmp_path, changes, message
):
  workdir = tmp_path / 'run'
  with pytest.raises(ValueError, match=message):
    run(tiny_config(**changes), workdir)
  assert not list(workdir.glob('checkpoints/*'))
  # What is seen without the folder leaves none.
  late = {'init_from.path', 'log.wandb'}
  assert workdir.exists() == bool(late & changes.keys())


def test_a_wrong_option_leaves_the_folder_free(tiny_config, tmp_path, capsys):
  """It is seen where the logs are opened, after the folder is claimed."""
  with pytest.raises(ValueError, match=r'log\.every=0 must be'):
    run(tiny_config(**{'log.every': 0, 'steps': 7}), tmp_path)
  assert int(run(tiny_config(), tmp_path).step) == 6
  assert 'steps: 7 there, 6 now' in capsys.readouterr().out
  assert sorted(curve(tmp_path)) == [1, 2, 3, 4, 5, 6]


def test_another_config_is_refused_and_nothing_is_lost(tiny_config, tmp_path):
  run(tiny_config(), tmp_path)
  with pytest.raises(ValueError, match=r'optim\.lr: 0\.003 there, 0\.1 now'):
    run(tiny_config(**{'optim.lr': 0.1}), tmp_path)
  assert (tmp_path / 'checkpoints/6').is_dir()
  # How it is watched and where it runs may change.
  changes = {'log.every': 2, 'data.workers': 1, 'data.max_bad': 0.5}
  run(tiny_config(**changes), tmp_path)
