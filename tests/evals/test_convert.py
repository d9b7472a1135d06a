"""Published files as runs and readout jobs: read, predicted from, exported."""

import subprocess
import sys

import av
import jax
import numpy as np
import pytest

from configs import mae, moog, readout, rvm
from evals import convert, evaluate
from evals.predict import checks
from evals.predict import run as predict_run
from models import published
from tests.models.published import layouts

PATCH = layouts.OUTPUT_PATCH
FILES = ('depth', 'points', 'boxes')


def recipes(method=mae, arg=''):
  tasks = 'task=depth+points+boxes,recipe=paper,lr=3e-4'
  return {
    'pretraining': method.get_config(arg).to_dict(),
    'readout': readout.get_config(tasks).to_dict(),
  }


@pytest.fixture(scope='module')
def paths(tmp_path_factory):
  folder = tmp_path_factory.mktemp('files')
  return {
    kind: layouts.save(folder / f'{kind}.npz', getattr(layouts, kind)())
    for kind in (*FILES, 'backbone')
  }


@pytest.fixture(scope='module')
def run(paths, tmp_path_factory):
  """A run made of a backbone with a depth head."""
  out = str(tmp_path_factory.mktemp('run') / 'run')
  convert.convert(paths['depth'], out, output_patch=PATCH, **recipes())
  return out


def same(one, other):
  one, other = np.load(one), np.load(other)
  assert set(one.files) == set(other.files)
  for key in one.files:
    assert one[key].shape == other[key].shape
    assert one[key].tobytes() == other[key].tobytes(), key


def test_what_is_exported_is_what_was_converted(run, paths, tmp_path, capsys):
  convert.export(f'{run}/heads/depth', str(tmp_path / 'depth.npz'))
  same(tmp_path / 'depth.npz', paths['depth'])
  convert.export(run, str(tmp_path / 'backbone.npz'))
  assert 'without backbone/head/bias' in capsys.readouterr().out
  back, whole = np.load(tmp_path / 'backbone.npz'), np.load(paths['depth'])
  assert set(back.files) == layouts.backbone().keys()
  for key in back.files:
    other = key.replace('params/', 'params/layers_0/', 1)
    np.testing.assert_array_equal(back[key], whole[other])


def test_a_job_of_it_answers_as_the_file_does(run, paths):
  job, heads = checks.finished(f'{run}/heads/depth')
  assert heads == {'depth': 0}
  video = np.random.default_rng(0).integers(
    0, 256, (2, layouts.T, layouts.H, layouts.W, 3), dtype=np.uint8
  )
  params = convert.checkpoint.read(f'{run}/heads/depth')
  got = jax.jit(job.objective.predict)(params, {'video': video})['depth'][0]
  model = published.load(paths['depth'], output_patch=PATCH)
  np.testing.assert_allclose(got, model(video), atol=1e-5)


@pytest.fixture(scope='module')
def film(tmp_path_factory):
  """Eight frames, 40 x 100: a window of six, and two."""
  path = str(tmp_path_factory.mktemp('film') / 'in.mp4')
  with av.open(path, 'w') as file:
    stream = file.add_stream('libx264', rate=12)
    stream.height, stream.width, stream.pix_fmt = 40, 100, 'yuv420p'
    for level in range(0, 160, 20):
      picture = np.full((40, 100, 3), level, np.uint8)
      frame = av.VideoFrame.from_ndarray(picture, 'rgb24')
      file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
  return path


def test_predict_draws_its_depth(run, film, tmp_path):
  out = tmp_path / 'out.mp4'
  found = predict_run.predict(
    readout=f'{run}/heads/depth',
    checkpoint=run,
    video=film,
    out=str(out),
  )
  assert found['frames'] == 8
  assert len(found['windows'][0]['depth']['median']) == layouts.T


@pytest.mark.slow
def test_a_readout_of_it_is_trained(run, tmp_path):
  config = readout.get_config('task=depth,data=world,steps=1').to_dict()
  config['data'] |= {'batch_size': 8, 'workers': 0}
  config['data']['sources']['world'] |= {
    **{'clips': 8, 'validation_clips': 8, 'test_clips': 8, 'cache': ''},
  }
  config['tasks']['depth'] |= {'patch': PATCH, 'width': 8, 'heads': 2}
  config['log'] |= {'tensorboard': False}
  config['eval'] |= {'batches': 1}
  config['mesh'] |= {'replica': 8, 'fsdp': 1}
  result = evaluate.run(config, checkpoint=run, workdir=str(tmp_path))
  assert result['tasks']['depth']['clips'] == 8


@pytest.mark.slow
def test_moog_and_its_heads_are_converted_run_and_exported(
  paths, film, tmp_path
):
  path = layouts.save(tmp_path / 'moog.npz', layouts.moog(decoder=True))
  out, heads = str(tmp_path / 'run'), [paths['points'], paths['boxes']]
  convert.convert(path, out, heads=heads, **recipes(moog, 'data=-'))
  convert.export(out, str(tmp_path / 'back.npz'))
  same(tmp_path / 'back.npz', path)
  for task in ('points', 'boxes'):
    convert.export(f'{out}/heads/{task}', str(tmp_path / f'{task}.npz'))
    same(tmp_path / f'{task}.npz', paths[task])
    found = predict_run.predict(
      readout=f'{out}/heads/{task}',
      checkpoint=out,
      video=film,
      out=str(tmp_path / f'{task}.mp4'),
    )
    assert found['frames'] == 8
    assert len(found['windows']) == 2
    assert task in found['windows'][0]
  job, _ = checks.finished(f'{out}/heads/points')
  assert job.objective.backbone.frames == layouts.T


def test_rvm_is_converted_and_exported(tmp_path, capsys):
  path = layouts.save(tmp_path / 'rvm.npz', layouts.rvm())
  out = str(tmp_path / 'run')
  given = recipes(rvm, 'data=-')
  # As published but for the frames, whose grid the file does not tell.
  given['pretraining']['model'] |= {'height': 8, 'width': 20}
  given['pretraining']['model'] |= {'mask_ratio': 0.5, 'decoder_layers': 1}
  convert.convert(path, out, **given)
  assert 'and new: decoder/gap/bias, decoder/gap' in capsys.readouterr().out
  convert.export(out, str(tmp_path / 'back.npz'))
  assert 'without backbone/decoder/gap/bias' in capsys.readouterr().out
  same(tmp_path / 'back.npz', path)


def test_what_has_no_published_form_is_refused(run, paths, tmp_path):
  with pytest.raises(ValueError, match=r"'dept': .* did you mean 'depth'\?"):
    convert.export(f'{run}/heads/depth', 'x.npz', task='dept')
  with pytest.raises(ValueError, match=r'must end with \.npz'):
    convert.export(run, str(tmp_path / 'x.bin'))
  with pytest.raises(ValueError, match='is not a run'):
    convert.export(str(tmp_path), 'x.npz')
  with pytest.raises(ValueError, match='no backbone: convert'):
    convert.convert(paths['boxes'], str(tmp_path / 'x'), **recipes())


def test_the_command_says_what_a_file_is(paths):
  command = [sys.executable, '-m', 'models.published', 'info', paths['points']]
  said = subprocess.run(command, capture_output=True, text=True, check=True)
  assert 'points' in said.stdout
  assert '24 arrays' in said.stdout
  assert 'copies=3' in said.stdout
