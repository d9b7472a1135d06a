"""Checkpoints of a run that goes on, evaluated once each, whatever happens."""

import copy
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
import types
import weakref

import jax
import numpy as np
import pytest

from base import exits, files
from configs import quickstart
from data import source as source_lib
from evals import evaluate
from evals import task as task_lib
from evals.tasks import depth
from evals.watch import checkpoints, outcomes
from models import objective as objective_lib
from train import loop, retention
from train import workdir as workdir_lib
from train.checkpoint import find, saved_at


@pytest.fixture(scope='module')
def finished(tmp_path_factory, pretraining):
  """A run of two steps with both checkpoints."""
  folder = tmp_path_factory.mktemp('finished')
  config = {**pretraining, 'steps': 2}
  loop.run(config, objective_lib.make(**config['model']), str(folder))
  return folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
  """The run after its first step; it takes the other when watch waits."""
  folder = tmp_path / 'run'
  (folder / 'checkpoints').mkdir(parents=True)
  shutil.copy(finished / 'config.json', folder)

  def save(step):
    shutil.copytree(
      finished / f'checkpoints/{step}', folder / f'checkpoints/{step}'
    )

  save(1)
  left = [lambda: save(2)]
  monkeypatch.setattr(checkpoints.time, 'sleep', lambda _: left.pop(0)())
  return folder


def write_result(folder, tasks):
  """A result.json that nothing was computed for."""
  found = {'metrics': {}, 'trivial': {}, 'lr': 0.1, 'clips': 13, 'head': 0}
  found |= {'headline': [], 'heads': [], 'clips_without_labels': 0}
  result = {'tasks': dict.fromkeys(tasks, found), 'refused': []}
  result |= {'source': 'toy', 'split': 'test', 'seed': 5, 'steps': 3}
  result |= {'finetune': 0.0, 'random_init': False}
  result |= {'checkpoint': {'step': 1}}
  result['config'] = {'model': {}, 'tasks': {}, 'data': {'sources': {}}}
  result['config'] |= {'test_sources': {}, 'finetune': 0.0}
  with open(f'{folder}/result.json', 'w') as file:
    json.dump(result, file)
  return result


@pytest.fixture
def quick(monkeypatch):
  """Jobs that train nothing; a list of what they were asked for.

  What `fail[task]` raises is raised, together or alone.
  """
  asked, fail = [], {}

  def fake(config, *, checkpoint, workdir, step):
    asked.append((step, sorted(config['tasks'])))
    assert retention.pinned(checkpoint) == {step}
    for name in set(config['tasks']) & set(fail):
      raise fail[name]
    backbone = {'run': checkpoint, 'step': step, 'random_init': False}
    backbone['saved'] = saved_at(find(checkpoint, step)[0])
    workdir_lib.settle(workdir, {**config, 'backbone': backbone})
    return write_result(workdir, config['tasks'])

  monkeypatch.setattr(evaluate, 'run', fake)
  return asked, fail


@pytest.fixture
def two_tasks(recipe, monkeypatch):
  """The recipe with `other` beside depth, which is depth too."""
  module = types.ModuleType('evals.tasks.other')

  class Other(depth.Depth):
    name = 'other'

  module.make = lambda **options: Other(
    **{
      field.name: getattr(depth.make(**options), field.name)
      for field in dataclasses.fields(depth.Depth)
    }
  )
  monkeypatch.setitem(sys.modules, 'evals.tasks.other', module)
  monkeypatch.setattr(task_lib, 'names', lambda: ['depth', 'other'])
  recipe = copy.deepcopy(recipe)
  recipe['tasks']['other'] = recipe['tasks']['depth']
  return recipe


def watch(config, run):
  return checkpoints.watch(
    config, run=str(run), workdir=str(run / 'readouts'), poll=1.0
  )


def results(run):
  lines = (run / 'readouts/results.jsonl').read_text().splitlines()
  return [json.loads(line) for line in lines]


def test_each_checkpoint_once_and_then_it_ends(run, recipe, quick, capsys):
  watch(recipe, run)
  assert [(x['step'], x['task']) for x in results(run)] == [
    (1, 'depth'),
    (2, 'depth'),
  ]
  assert results(run)[0]['clips'] == 13
  out = capsys.readouterr().out
  assert 'evaluating step 1 of 2' in out
  assert 'waiting: no new checkpoint' in out
  assert not list((run / 'pins').glob('*.*.json'))
  watch(recipe, run)
  assert len(results(run)) == 2
  assert quick[0] == [(1, ['depth']), (2, ['depth'])]


@pytest.mark.slow
def test_a_killed_watch_ends_with_the_same_numbers(
  finished, recipe, tmp_path, monkeypatch
):
  """Killed after the job's training, and the checkpoint deleted meanwhile."""

  def numbers():
    with np.load(tmp_path / 'run/readouts/2/clips.npz') as file:
      return dict(file)

  run = tmp_path / 'run'
  shutil.copytree(finished, run)
  shutil.rmtree(run / 'checkpoints/1')
  watch(recipe, run)
  whole = numbers()
  shutil.rmtree(run / 'readouts')
  with monkeypatch.context() as patch:
    patch.setattr(
      evaluate.score, 'facts_of', lambda *_, **__: sys.exit('killed')
    )
    with pytest.raises(SystemExit):
      watch(recipe, run)
  shutil.rmtree(run / 'checkpoints/2')
  monkeypatch.delattr(evaluate.loop, 'start_from')
  watch(recipe, run)
  assert [x['step'] for x in results(run)] == [2]
  cut = numbers()
  assert whole.keys() == cut.keys()
  for name in whole:
    np.testing.assert_array_equal(whole[name], cut[name])


def test_a_failing_task_leaves_the_others_alone(run, two_tasks, quick):
  asked, fail = quick
  fail['other'] = FloatingPointError('other is not finite')
  watch(two_tasks, run)
  assert [(x['step'], x['task']) for x in results(run)] == [
    (1, 'depth'),
    (2, 'depth'),
  ]
  both, alone = ['depth', 'other'], [['depth'], ['other']]
  assert asked == [(step, x) for step in (1, 2) for x in (both, *alone)]
  errors = json.loads((run / 'readouts/1/errors.json').read_text())
  assert errors['failed'] == dict.fromkeys(
    ['together', 'other'], 'other is not finite'
  )
  assert outcomes.failures(str(run / 'readouts'))['2'] == errors['failed']
  # Killed while depth ran alone: it goes on there, not from the start.
  asked.clear()
  shutil.rmtree(run / 'readouts/2-depth')
  watch(two_tasks, run)
  assert asked == [(2, ['depth'])]
  assert len(results(run)) == 2


def test_a_task_that_cannot_take_the_clips_is_isolated(
  finished, two_tasks, tmp_path
):
  """As above, with real jobs."""
  run = tmp_path / 'run'
  shutil.copytree(finished, run)
  shutil.rmtree(run / 'checkpoints/1')
  two_tasks['tasks']['other'] = {
    **two_tasks['tasks']['other'],
    'patch': (2, 5, 8),
  }
  watch(two_tasks, run)
  (line,) = results(run)
  assert (line['step'], line['task']) == (2, 'depth')
  assert line['metrics']['abs_rel']['value'] > 0
  failed = outcomes.failures(str(run / 'readouts'))['2']
  assert 'task.patch=(2, 5, 8) must divide' in failed['other']


def test_what_does_not_fit_together_is_tried_task_by_task(
  run, two_tasks, quick, monkeypatch
):
  """Out of memory; and what filled it is gone when the tasks run alone."""
  asked, _ = quick
  alone, filled = evaluate.run, []

  def run_out(config, **where):
    if len(config['tasks']) == 1:
      assert filled[-1]() is None
      return alone(config, **where)
    asked.append((where['step'], sorted(config['tasks'])))
    state = np.ones(3)  # as a frame of the job holds it
    filled.append(weakref.ref(state))
    raise jax.errors.JaxRuntimeError(
      'RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.'
    )

  monkeypatch.setattr(evaluate, 'run', run_out)
  watch(two_tasks, run)
  each = [['depth', 'other'], ['depth'], ['other']]
  assert asked == [(step, names) for step in (1, 2) for names in each]
  assert {(x['step'], x['task']) for x in results(run)} == {
    (step, name) for step in (1, 2) for name in ('depth', 'other')
  }
  failed = outcomes.failures(str(run / 'readouts'))
  assert list(failed['1']) == ['together']
  assert 'RESOURCE_EXHAUSTED' in failed['1']['together']


def test_other_errors_of_the_device_end_the_watch(run, two_tasks, quick):
  _, fail = quick
  fail['other'] = jax.errors.JaxRuntimeError('INTERNAL: RESOURCE_EXHAUSTED not')
  with pytest.raises(jax.errors.JaxRuntimeError, match='INTERNAL'):
    watch(two_tasks, run)
  assert not outcomes.failures(str(run / 'readouts'))


@pytest.mark.parametrize(
  ('name', 'text', 'match'),
  [
    ('1/errors.json', '', r'1/errors\.json is empty.*are tried again'),
    ('1/errors.json', '{"tasks": []}', r'1/errors\.json lacks failed'),
    (
      '1/result.json',
      '{"tasks": {',
      r'1/result\.json is not JSON.*tests again',
    ),
    ('1/result.json', '[]', r'1/result\.json holds a list, expected a dict'),
    ('watch.json', '\x00\x00', r'watch\.json is not JSON.*remove it'),
  ],
)
def test_a_damaged_file_names_itself_and_its_remedy_works(
  run, recipe, quick, name, text, match
):
  watch(recipe, run)
  if name == '1/errors.json':  # of a step that failed
    (run / 'readouts/1/result.json').unlink()
  (run / 'readouts' / name).write_text(text)
  with pytest.raises(ValueError, match=match):
    watch(recipe, run)
  (run / 'readouts' / name).unlink()
  watch(recipe, run)
  assert [line['step'] for line in results(run)] == [1, 2]


def test_damaged_results_are_written_anew(run, recipe, quick):
  watch(recipe, run)
  whole = (run / 'readouts/results.jsonl').read_text()
  (run / 'readouts/results.jsonl').write_text(whole[:40])
  watch(recipe, run)
  assert (run / 'readouts/results.jsonl').read_text() == whole


def test_too_many_bad_records_do_not_end_the_watch(run, recipe, monkeypatch):
  """With a real job: every training clip is bad, of the first checkpoint."""
  (toy,) = {type(source_lib.make('toy', 'train', keys=('video',)))}
  read, attempts = toy.read, []

  def broken(self, index, rng):
    # The first of a split is looked at before a job begins.
    if self.split == 'train' and index and len(attempts) == 1:
      raise source_lib.BadRecord('is broken')
    return read(self, index, rng)

  def counted(*args, **options):
    attempts.append(options)
    return job_run(*args, **options)

  job_run = evaluate.run
  monkeypatch.setattr(evaluate, 'run', counted)
  monkeypatch.setattr(toy, 'read', broken)
  data = {**recipe['data'], 'max_bad': 0.01}
  watch({**recipe, 'data': data}, run)
  assert [(x['step'], x['task']) for x in results(run)] == [(2, 'depth')]
  failed = outcomes.failures(str(run / 'readouts'))
  assert list(failed) == ['1']
  assert 'is broken' in failed['1']['depth']


def test_what_fails_for_every_task_is_the_recipes(run, two_tasks, quick):
  _, fail = quick
  fail |= dict.fromkeys(('depth', 'other'), ValueError('steps must be above 0'))
  with pytest.raises(ValueError, match='every task: steps must be'):
    watch(two_tasks, run)
  assert not outcomes.is_done(str(run / 'readouts'), 1)
  # A head that diverges is no such thing.
  fail |= dict.fromkeys(('depth', 'other'), FloatingPointError('not finite'))
  watch(two_tasks, run)
  assert not results(run)


def test_what_another_evaluates_is_left_to_it(run, finished, recipe, quick):
  shutil.copytree(finished / 'checkpoints/2', run / 'checkpoints/2')
  with files.lock(run / 'readouts/1/lock') as held_by:
    assert not held_by
    watch(recipe, run)
  assert [step for step, _ in quick[0]] == [2]


def test_what_is_being_deleted_is_not_begun(
  run, recipe, quick, monkeypatch, capsys
):
  (run / 'pins').mkdir()
  (run / 'pins/doomed.json').write_text('[1]')
  save = checkpoints.time.sleep

  def delete(seconds):
    shutil.rmtree(run / 'checkpoints/1')
    save(seconds)

  monkeypatch.setattr(checkpoints.time, 'sleep', delete)
  watch(recipe, run)
  assert [step for step, _ in quick[0]] == [2]
  assert not (run / 'readouts/1').exists()
  assert capsys.readouterr().out.count('step 1 was deleted before') == 1
  lost, found = results(run)
  assert lost == {'step': 1, 'error': 'deleted before it was its turn'}
  assert (found['step'], found['task']) == (2, 'depth')


def test_what_is_deleted_during_the_last_job_is_written_down(
  run, finished, recipe, monkeypatch
):
  """And forgotten where it is saved again and evaluated after all."""
  shutil.copytree(finished / 'checkpoints/2', run / 'checkpoints/2')
  (run / 'pins').mkdir()
  (run / 'pins/doomed.json').write_text('[1]')

  def evaluate(config, *, run, workdir, step):
    shutil.rmtree(f'{run}/checkpoints/1', ignore_errors=True)
    workdir_lib.settle(f'{workdir}/{step}', config)
    write_result(f'{workdir}/{step}', ())

  monkeypatch.setattr(checkpoints.one_checkpoint, 'evaluate', evaluate)
  watch(recipe, run)
  assert [line['step'] for line in results(run)] == [1]
  shutil.rmtree(run / 'readouts/2')
  (run / 'pins/doomed.json').unlink()
  shutil.copytree(finished / 'checkpoints/1', run / 'checkpoints/1')
  watch(recipe, run)
  assert not results(run)


def test_it_waits_for_the_run_to_begin(run, recipe, quick, monkeypatch, capsys):
  config = run / 'config.json'
  text = config.read_text()
  config.unlink()
  save = checkpoints.time.sleep

  def begin(seconds):
    config.write_text(text)
    monkeypatch.setattr(checkpoints.time, 'sleep', save)

  monkeypatch.setattr(checkpoints.time, 'sleep', begin)
  watch(recipe, run)
  assert 'has no config.json yet' in capsys.readouterr().out


def test_what_is_not_there_is_said_at_once(run, recipe, monkeypatch, capsys):
  def stop(seconds):
    raise KeyboardInterrupt

  monkeypatch.setattr(checkpoints.time, 'sleep', stop)
  with pytest.raises(KeyboardInterrupt):
    watch(recipe, run.with_name(f'{run.name}x'))
  said = capsys.readouterr().out
  assert f'{run.name}x does not exist yet' in said
  assert f'did you mean {run}?' in said
  # Where none can begin it is not waited for.
  for wrong in (run / 'no' / 'where', run / 'config.json'):
    with pytest.raises(ValueError, match='is no folder: give the --workdir'):
      watch(recipe, wrong)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'tasks': {'dept': {}}}, "did you mean 'depth'"),
    ({'lrs': (0.0,)}, 'must be learning rates above 0'),
    ({'test_sources': {'a': {}, 'b': {}}}, 'trained on one source'),
  ],
)
def test_a_wrong_recipe_is_told_before_there_is_a_run(
  run, recipe, changes, message
):
  (run / 'config.json').unlink()
  with pytest.raises(ValueError, match=message):
    watch({**recipe, **changes}, run)


def test_told_to_stop_it_stops(run, recipe, monkeypatch):
  def stopped(*_, **__):
    raise exits.Again

  monkeypatch.setattr(evaluate, 'run', stopped)
  with pytest.raises(exits.Again):
    watch(recipe, run)
  assert not results(run)


def test_a_recipe_that_cannot_work_keeps_no_other_out(run, recipe, quick):
  with pytest.raises(ValueError, match='the recipe is of pretraining'):
    watch({key: x for key, x in recipe.items() if key != 'tasks'}, run)
  watch(recipe, run)
  assert [line['step'] for line in results(run)] == [1, 2]


def test_clear_errors(run, recipe, quick):
  with pytest.raises(ValueError, match=r'--poll=0\.0 must be seconds'):
    checkpoints.watch(recipe, run=str(run), workdir=str(run / 'x'), poll=0.0)
  watch(recipe, run)
  with pytest.raises(
    ValueError, match=r'another config .*seed: 5 there, 6 now'
  ):
    watch({**recipe, 'seed': 6}, run)
  config = {'tasks': {}, 'backbone': {'run': 'there'}}
  (run / 'config.json').write_text(json.dumps(config))
  with pytest.raises(ValueError, match='is a readout of'):
    watch(recipe, run)


@pytest.mark.slow
def test_killed_with_the_run_it_watches(tiny_config, tmp_path):
  """Both are processes; the run keeps one checkpoint of nine."""
  changes = {'steps': 18, 'checkpoint.every': 2, 'checkpoint.keep': 1}
  recipe = workdir_lib.flatten(quickstart.get_config().to_dict())
  wanted = workdir_lib.flatten(tiny_config(**changes))
  run = tmp_path / 'run'
  train = [
    *(sys.executable, '-m', 'train', '--config=configs/quickstart.py'),
    f'--workdir={run}',
    *(f'--config.{k}={v}' for k, v in wanted.items() if v != recipe[k]),
  ]
  watch = [
    *(sys.executable, '-m', 'evals.watch', f'--run={run}', '--poll=0.2'),
    '--config=configs/readout.py:task=depth+classify,steps=4',
    *('--config.data.batch_size=8', '--config.optim.warmup_fraction=0.25'),
    '--config.log.tensorboard=False',
    *(f'--config.tasks.{task}.width=16' for task in ('depth', 'classify')),
  ]
  with subprocess.Popen(train) as trainer:
    for _ in range(2):
      before = len(list(run.glob('readouts/*/metrics.jsonl')))
      with subprocess.Popen(watch) as watcher:
        deadline = time.monotonic() + 200
        while len(list(run.glob('readouts/*/metrics.jsonl'))) == before:
          assert time.monotonic() < deadline
          assert watcher.poll() is None
          time.sleep(0.05)
        watcher.send_signal(signal.SIGKILL)
  assert trainer.returncode == 0
  subprocess.run(watch, check=True)
  # A step that the run deletes between the two watches has a line without task.
  keys = [(line['step'], line.get('task')) for line in results(run)]
  assert len(keys) == len(set(keys))
  assert {(18, 'depth'), (18, 'classify')} <= set(keys)
  assert all(('error' in line) != ('task' in line) for line in results(run))
  assert not list(run.glob('readouts/*/errors.json'))
