"""A readout job end to end: frozen, tested once per clip, done once."""

import copy
import dataclasses
import json
import os
import shutil

import jax
import numpy as np
import pytest

from base import exits
from data import pipeline
from data import source as source_lib
from evals import evaluate, metrics
from evals import job as job_lib
from evals.resolve import resolve
from train import loop, progress, retention, stop, workdir
from train.progress import Clock


@pytest.fixture(scope='module')
def done(run, recipe, tmp_path_factory):
  """A finished job: (its folder, result, final state)."""
  states = []

  def watched(*args, **options):
    states.append(loop_run(*args, **options))
    return states[-1]

  loop_run = loop.run
  out = tmp_path_factory.mktemp('out')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(evaluate.loop, 'run', watched)
    result = evaluate.run(recipe, checkpoint=str(run), workdir=str(out))
  return out, result, jax.device_get(states[0])


def test_backbone_is_the_runs_and_stays_bitwise_and_has_no_moments(
  pretrained, done
):
  _, _, state = done
  jax.tree.map(
    np.testing.assert_array_equal, state.params['backbone'], pretrained
  )
  head = sum(x.size for x in jax.tree.leaves(state.params['heads']))
  moments = sum(x.size for x in jax.tree.leaves(state.opt_state))
  assert 2 * head <= moments < 2 * head + 10


def test_result_counts_every_test_clip_once(done, recipe):
  out, result, state = done
  objective = job_lib.make_objective(result['config'])
  data = pipeline.make(
    split='test', **{**result['config']['data'], 'batch_size': 1}
  )
  sums_of = jax.jit(objective.sums)
  total = {}
  for index in range(13):
    arrays, _ = data.examples.sources[0].read(index, None), None
    batch = {key: value[None] for key, value in arrays.items()}
    for name, value in sums_of(state.params, batch)['depth'].items():
      total[name] = total.get(name, 0) + np.float64(value[0, 0])
  found = result['tasks']['depth']
  for name, want in metrics.depth_scores(total).items():
    got = found['metrics'][name]
    assert got['value'] == pytest.approx(want, rel=1e-5)
    assert got['low'] <= got['value'] <= got['high']
  assert found['clips'] == 13
  assert result['steps'] == 3
  assert json.loads((out / 'result.json').read_text()) == result
  assert (out / 'pictures' / 'depth.png').exists()


def test_again_it_is_done_and_another_config_is_refused(
  run, done, recipe, capsys, monkeypatch
):
  out, result, _ = done
  monkeypatch.delattr(evaluate.loop, 'run')
  again = evaluate.run(recipe, checkpoint=str(run), workdir=str(out))
  assert again == result
  assert 'is done' in capsys.readouterr().out
  with pytest.raises(ValueError, match=r'another config .*random_init'):
    evaluate.run(
      recipe, checkpoint=str(run), workdir=str(out), random_init=True
    )


def test_a_stopped_job_goes_on_to_the_same_numbers(
  run, done, recipe, tmp_path, monkeypatch
):
  _, result, _ = done
  with monkeypatch.context() as patch:
    patch.setattr(stop.StopRequest, 'requested', lambda self, step: step == 2)
    with pytest.raises(exits.Again, match='after step 2'):
      evaluate.run(recipe, checkpoint=str(run), workdir=str(tmp_path))
  assert not (tmp_path / 'result.json').exists()
  second = evaluate.run(recipe, checkpoint=str(run), workdir=str(tmp_path))
  assert second == result


def test_the_bill_of_a_job_has_its_start_and_its_scores(
  run, recipe, tmp_path, monkeypatch
):
  """Over an end while it scores: all of the time, of two starts."""

  def go():
    clock = Clock(imports=0.01)  # which it says to have taken
    evaluate.run(
      recipe, checkpoint=str(run), workdir=str(tmp_path), clock=clock
    )

  with monkeypatch.context() as patch:
    patch.setattr(evaluate.score, 'run', lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      go()
  assert not (tmp_path / 'result.json').exists()
  go()
  bill = progress.read(tmp_path)
  assert (bill.starts, bill.step, bill.redone) == (2, 3, 0)
  seconds = bill.seconds
  assert seconds['imports'] == pytest.approx(0.02)
  for part in ('model', 'data', 'restore', 'compile', 'step', 'evaluate'):
    assert seconds[part] > 0, part
  assert sum(seconds.values()) == pytest.approx(bill.seen - bill.began, abs=0.1)
  # Read once more, it is no start.
  go()
  assert progress.read(tmp_path) == bill


def test_a_stopped_job_is_given_more_steps(run, recipe, tmp_path):
  """And is trained on; what has its result stays as it is."""
  out = tmp_path / 'out'

  def go(folder, asked=workdir.GO_ON, **changes):
    return evaluate.run(
      {
        **recipe,
        'optim': recipe['optim'] | {'schedule': 'constant'},
        **changes,
      },
      checkpoint=str(run),
      workdir=str(folder),
      asked=asked,
    )

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(evaluate, 'score', None)  # it fails behind its last step
    with pytest.raises(AttributeError):
      go(out, steps=2)
  with pytest.raises(ValueError, match=r'holds a run of 2 steps, now steps=3'):
    go(out)
  longer = workdir.Asked(longer='same')
  assert go(out, longer)['config']['steps'] == 3
  assert workdir.steps(str(out)) == [2, 3]
  assert workdir.read_history(str(out))[0]['changed'] == {'steps': [2, 3]}
  with pytest.raises(ValueError, match=r'the result of another config .*steps'):
    go(out, longer, steps=4)


def test_a_stopped_job_goes_on_while_its_run_does(
  run, done, recipe, tmp_path, monkeypatch
):
  """The run saves another checkpoint meanwhile, and deletes the job's."""
  folder, out = tmp_path / 'run', tmp_path / 'out'
  shutil.copytree(run, folder)
  _, result, _ = done

  def go(**options):
    return evaluate.run(
      recipe, checkpoint=str(folder), workdir=str(out), **options
    )

  with monkeypatch.context() as patch:
    patch.setattr(stop.StopRequest, 'requested', lambda self, step: step == 2)
    with pytest.raises(exits.Again):
      go()
  shutil.copytree(folder / 'checkpoints/1', folder / 'checkpoints/2')
  with pytest.raises(ValueError, match=r'backbone\.step: 1 there, 2 now'):
    go(step=2)
  shutil.rmtree(folder / 'checkpoints/1')
  again = go()
  assert again['checkpoint'] == {**result['checkpoint'], 'run': str(folder)}
  assert again['tasks'] == result['tasks']


def test_a_job_that_saved_nothing_keeps_its_step_while_it_is_there(
  run, recipe, tmp_path
):
  folder, out = tmp_path / 'run', tmp_path / 'out'
  shutil.copytree(run, folder)

  def began(**options):
    job = resolve(
      recipe,
      checkpoint=str(folder),
      random_init=False,
      workdir=str(out),
      **options,
    )
    return job.backbone

  first = began()
  workdir.settle(str(out), {'tasks': {}, 'backbone': first})
  shutil.copytree(folder / 'checkpoints/1', folder / 'checkpoints/2')
  assert began() == first
  assert began(step=2)['step'] == 2
  # Run and job were moved: it is the same checkpoint, and the same job.
  folder = shutil.move(folder, tmp_path / 'moved')
  assert began() == {**first, 'run': str(folder)}
  (out / 'checkpoints/3').mkdir(parents=True)
  workdir.settle(str(out), {'tasks': {}, 'backbone': began()})
  shutil.rmtree(out / 'checkpoints')
  shutil.rmtree(folder / 'checkpoints/1')
  assert began()['step'] == 2


def test_the_checkpoint_is_pinned_while_the_job_runs(
  run, recipe, tmp_path, monkeypatch
):
  folder = str(run)
  asked = {'checkpoint': folder, 'workdir': str(tmp_path / 'out')}

  def stopped(*_, **__):
    assert retention.pinned(folder) == {1}
    with open(f'{folder}/pins/doomed.json', 'w') as file:
      json.dump([1], file)
    raise exits.Again

  monkeypatch.setattr(evaluate.loop, 'run', stopped)
  with pytest.raises(exits.Again):
    evaluate.run(recipe, **asked)
  assert retention.pinned(folder) == set()
  # The run decided to delete it while it was not pinned.
  with pytest.raises(ValueError, match='is deleting its checkpoint of step 1'):
    evaluate.run(recipe, **asked)
  os.remove(f'{folder}/pins/doomed.json')


def test_random_init_loads_nothing(run, recipe):
  pretrained, random = (
    resolve(recipe, checkpoint=str(run), random_init=is_random)
    for is_random in (False, True)
  )
  assert pretrained.train['init_from']['path'] == str(run)
  assert pretrained.train['init_from']['at'] == 'backbone'
  assert pretrained.backbone['step'] == 1
  assert random.train['init_from']['path'] == ''
  assert random.backbone == {
    'run': str(run),
    'step': None,
    'random_init': True,
  }
  assert random.train['model'] == pretrained.train['model']


def test_a_finished_folder_gives_the_job_that_was_run(run, done, recipe):
  """And nothing of a job changes on its way."""
  out, result, _ = done
  job = resolve(recipe, checkpoint=str(run), random_init=False)
  again = job_lib.read(str(out))
  assert json.loads(json.dumps(job.train)) == again.train == result['config']
  assert (again.backbone, again.source) == (job.backbone, 'toy')
  assert again.clip == job.clip == (4, 16, 24)
  assert list(job.looked_at) == ['test']
  assert job.validation is None
  with pytest.raises(dataclasses.FrozenInstanceError):
    job.cache = 'elsewhere'


@pytest.mark.parametrize(
  ('name', 'text', 'match'),
  [
    ('config.json', '', r'config\.json is empty.*put a copy back'),
    ('config.json', '{"tasks": {}}', r'config\.json lacks'),
    (
      'result.json',
      '{"tasks": {"depth"',
      r'result\.json is not JSON.*remove it',
    ),
    ('result.json', '{"tasks": 3}', r'result\.json'),
  ],
)
def test_a_damaged_file_of_a_job_names_itself(
  run, done, recipe, tmp_path, name, text, match
):
  out = shutil.copytree(done[0], tmp_path / 'out')
  (out / name).write_text(text)
  with pytest.raises(ValueError, match=match):
    evaluate.run(recipe, checkpoint=str(run), workdir=str(out))


def test_options_of_the_runs_source_are_merged_under_the_recipes(
  tmp_path, pretraining, recipe
):
  config = copy.deepcopy(pretraining)
  config['data']['sources'] = {
    'a': {'name': 'world', 'weight': 0.3, 'seed': 7, 'height': 99}
  }
  (tmp_path / 'config.json').write_text(json.dumps(config))
  recipe = copy.deepcopy(recipe)
  recipe['data']['sources'] = {
    'world': {'name': 'world', 'weight': 1.0, 'height': 16}
  }
  job = resolve(recipe, checkpoint=str(tmp_path), random_init=True)
  got = job.train
  assert got['data']['sources']['world'] == {
    'name': 'world',
    'weight': 1.0,
    'seed': 7,
    'frames': 4,
    'height': 16,
    'width': 24,
  }
  assert got['data']['keys'] == ['video', 'depth']


def test_clear_errors_before_the_first_step(run, recipe, tmp_path):
  def fails(match, checkpoint=run, **changes):
    out = tmp_path / 'out'
    with pytest.raises(ValueError, match=match):
      evaluate.run(
        {**recipe, **changes}, checkpoint=str(checkpoint), workdir=str(out)
      )
    assert not list(out.glob('checkpoints/*'))

  fails('does not exist: give the --workdir', tmp_path / 'nowhere')
  fails('is the folder of the run itself', tmp_path / 'out')
  fails('is not a run: it has no config.json', tmp_path)
  fails("did you mean 'depth'", tasks={'dept': {}})
  mute = {'mute': {'name': 'mute', 'weight': 1.0}}
  fails(
    "source 'mute' has no labels for task depth: .* got video. Choose another",
    data={**recipe['data'], 'sources': mute},
  )
  two = {**mute, **recipe['data']['sources']}
  fails(
    'trained on one source and tested on one',
    data={**recipe['data'], 'sources': two},
  )

  config = json.loads((run / 'config.json').read_text())
  other = tmp_path / 'other'
  other.mkdir()
  (other / 'config.json').write_text(json.dumps(config))
  fails('holds no checkpoint', other)
  (other / 'checkpoints').symlink_to(run / 'checkpoints')
  config['model']['mlp'] = 64
  (other / 'config.json').write_text(json.dumps(config))
  fails('another architecture: .*mlp/dense_in', other)


def test_a_wrong_option_leaves_the_folder_free(run, done, recipe, tmp_path):
  _, result, _ = done

  def go(optim):
    recipe_ = {**recipe, 'optim': recipe['optim'] | optim}
    return evaluate.run(recipe_, checkpoint=str(run), workdir=str(tmp_path))

  with pytest.raises(ValueError, match='adma'):
    go({'name': 'adma'})
  assert (tmp_path / 'config.json').exists()
  assert go({}) == result


def test_a_readout_is_not_a_backbone(done, recipe, tmp_path):
  out, _, _ = done
  with pytest.raises(ValueError, match=r'is a readout of .*: give that run'):
    evaluate.run(recipe, checkpoint=str(out), workdir=str(tmp_path))


def test_bad_test_records_are_listed_and_stop_nothing(
  run, recipe, tmp_path, monkeypatch
):
  bad, read = (1, 4, 5, 11), toy_read()

  def broken(self, index, rng):
    if self.split == 'test' and index in bad:
      raise source_lib.BadRecord(f'clip {index} is broken')
    return read(self, index, rng)

  monkeypatch.setattr(toy(), 'read', broken)
  changed = {**recipe, 'data': {**recipe['data'], 'max_bad': 0.0}}
  result = evaluate.run(changed, checkpoint=str(run), workdir=str(tmp_path))
  assert [report['record'] for report in result['refused']] == list(bad)
  assert result['refused'][0]['reason'] == 'clip 1 is broken'
  assert result['tasks']['depth']['clips'] == 13 - len(bad)


def toy():
  """The class of the toy source's clips."""
  return type(source_lib.make('toy', 'test', keys=('video',)))


def toy_read():
  return toy().read
