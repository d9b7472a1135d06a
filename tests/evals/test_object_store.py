"""Readouts, watching, reports and predictions of a run in an object store."""

import json

import jax
import numpy as np
import pytest

from base import claim, files, jsons
from evals import convert, evaluate
from evals.predict import run as predict_run
from evals.report import page
from evals.watch import checkpoints
from models import objective as objective_lib
from models.published import files as published_files
from tests.evals.predict.test_run import film
from train import checkpoint, loop


@pytest.fixture(scope='module')
def there(object_store, pretraining):
  """A pretraining run of two steps: gs://..."""
  folder = 'gs://bucket/evals/run'
  config = {**pretraining, 'steps': 2}
  loop.run(config, objective_lib.make(**config['model']), folder)
  return folder


@pytest.fixture(scope='module')
def job(there, recipe):
  """A readout job of it, and the result."""
  folder = f'{there}/readouts/job'
  result = evaluate.run(recipe, checkpoint=f'{there}/', workdir=folder)
  return folder, result


@pytest.mark.slow
def test_a_job_is_that_of_a_disk(job, there, pretraining, recipe, tmp_path):
  folder, result = job
  config = {**pretraining, 'steps': 2}
  loop.run(config, objective_lib.make(**config['model']), str(tmp_path / 'run'))
  here = evaluate.run(
    recipe, checkpoint=str(tmp_path / 'run'), workdir=str(tmp_path / 'out')
  )
  assert result['tasks'] == here['tasks']
  assert result['checkpoint']['run'] == there
  assert result == jsons.read(f'{folder}/result.json', dict, '')
  assert files.read_bytes(f'{folder}/pictures/depth.png')[:4] == b'\x89PNG'
  # Done: the same command reads it.
  assert evaluate.run(recipe, checkpoint=there, workdir=folder) == result
  assert files.names(f'{there}/pins') == ['doomed.json']


def test_what_is_not_there_is_told_in_one_line(there, recipe, tmp_path):
  out = {'workdir': str(tmp_path)}
  with pytest.raises(ValueError, match='checkpoint=gs://bucket/no does not ex'):
    evaluate.run(recipe, checkpoint='gs://bucket/no', **out)
  with pytest.raises(ValueError, match=r'checkpoints is not a run: it has no'):
    evaluate.run(recipe, checkpoint=f'{there}/checkpoints', **out)
  cached = {**recipe, 'feature_cache': 'gs://bucket/cache'}
  with pytest.raises(ValueError, match=r'feature_cache=gs://.* memory: choose'):
    evaluate.run(cached, checkpoint=there, **out)


@pytest.mark.slow
def test_checkpoints_are_watched_by_turns(there, recipe, bucket):
  """From another machine than the run's; a step that another has is left."""

  def steps():
    checkpoints.watch(recipe, run=there, workdir=bucket, poll=1.0)
    lines = jsons.read_lines(f'{bucket}/results.jsonl', dict, '')
    return [(line['step'], line['task']) for line in lines]

  taken = claim._Claim(f'{bucket}/1/lock')
  taken.about |= {'machine': 'another', 'host': 'elsewhere'}
  taken._write()
  assert steps() == [(2, 'depth')]
  assert files.names(f'{bucket}/1') == ['lock']
  files.remove(f'{bucket}/1/lock')
  assert steps() == [(1, 'depth'), (2, 'depth')]
  assert 'lock' not in files.names(f'{bucket}/1')


def test_a_run_that_is_about_to_begin_there_is_waited_for(
  there, recipe, bucket, monkeypatch, capsys
):
  """There are no folders whose absence could tell that none will."""

  class Waited(Exception):
    pass

  def sleep(_):
    raise Waited

  monkeypatch.setattr(checkpoints.time, 'sleep', sleep)
  with pytest.raises(Waited):
    checkpoints.watch(recipe, run=bucket, workdir=f'{bucket}/w', poll=1.0)
  assert f'waiting: {bucket} has no config.json yet' in capsys.readouterr().out
  assert files.names(bucket) == []


@pytest.mark.slow
def test_a_report_reads_runs_there_and_is_written_here_or_there(
  there, job, bucket, tmp_path
):
  here = str(tmp_path / 'report')
  page.write([there], here)
  path, _ = page.write([f'{there}/'], bucket)
  assert path == f'{bucket}/index.html'
  text = files.read_bytes(path).decode()
  assert there in text
  both = [files.names(here), files.names(bucket)]
  assert set(both[0]) - {'.lock'} == set(both[1])
  for name in both[1]:
    if name.endswith('.csv'):
      assert files.read_bytes(f'{here}/{name}') == files.read_bytes(
        f'{bucket}/{name}'
      )
  with pytest.raises(ValueError, match='are the same run'):
    page.write([there, f'{there}/'], here)


@pytest.mark.slow
def test_predictions_of_a_job_there(there, job, bucket, tmp_path):
  frames = np.linspace(0, 255, 6 * 40 * 64 * 3).astype(np.uint8)
  movie = film(tmp_path / 'in.mp4', frames.reshape(6, 40, 64, 3))
  outs = (f'{tmp_path}/out.mp4', f'{bucket}/out.mp4')
  found = [
    predict_run.predict(checkpoint=there, readout=job[0], video=movie, out=out)
    for out in outs
  ]
  assert found[0] == found[1]
  assert files.read_bytes(outs[1]) == files.read_bytes(outs[0])
  assert jsons.read(f'{bucket}/out.json', dict, '')['frames'] == 6
  with pytest.raises(
    ValueError, match=r'--video=gs://.* is in an object store'
  ):
    predict_run.predict(readout=job[0], video=outs[1], out=f'{bucket}/b.mp4')


def test_weights_are_exported_from_a_run_there(there, bucket, tmp_path):
  for out in (f'{tmp_path}/b.safetensors', f'{bucket}/b.safetensors'):
    convert.export(there, out)
  written = files.read_bytes(f'{bucket}/b.safetensors')
  assert written == files.read_bytes(tmp_path / 'b.safetensors')
  read = published_files.opened(f'{tmp_path}/b.safetensors')
  assert 'params/encoder/patch_embedding/Conv_0/kernel' in read


def test_a_run_there_is_made_of_parameters_from_elsewhere(bucket):
  params = {'a': jax.numpy.arange(6.0).reshape(2, 3)}
  checkpoint.create(bucket, {'model': {'name': 'x'}}, params)
  np.testing.assert_array_equal(checkpoint.read(bucket)['a'], params['a'])
  assert json.loads(files.read_bytes(f'{bucket}/config.json')) == {
    'model': {'name': 'x'}
  }
