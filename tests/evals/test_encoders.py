"""Others' encoders as runs: made once, and read out as ours are."""

import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import mae, readout
from evals import encoders, evaluate
from evals.resolve import resolve
from models import objective
from models.published import hf
from tests.models.published.hf import folders
from train import checkpoint

RECIPE = mae.get_config().to_dict()
FAMILIES = ('dinov2', 'videomae', 'vjepa2')


@pytest.fixture(scope='module', params=FAMILIES)
def made(request, tmp_path_factory):
  """Family, folder and run of an encoder."""
  place = tmp_path_factory.mktemp('hf')
  path = folders.save(place / 'small', request.param)
  run = encoders.run_of(
    f'hf:{path}', pretraining=RECIPE, kept=str(place / 'kept')
  )
  return request.param, path, run


def recipe(**changes):
  config = readout.get_config('task=depth,data=world,steps=1,lr=1e-3').to_dict()
  config['data'] |= {'batch_size': 8, 'workers': 0}
  config['data']['sources']['world'] |= {
    **{'clips': 8, 'validation_clips': 8, 'test_clips': 8, 'cache': ''},
  }
  config['tasks']['depth'] |= {'patch': (2, 4, 4), 'width': 8, 'heads': 2}
  config['log'] |= {'tensorboard': False}
  config['eval'] |= {'batches': 1}
  config['mesh'] |= {'replica': 8, 'fsdp': 1}
  return config | changes


def test_a_run_has_what_the_folder_holds(made):
  family, path, run = made
  found = hf.read(path)
  job = resolve(recipe(), checkpoint=run, random_init=False)
  assert job.train['model']['name'] == found.model['name'] == family
  assert job.clip == tuple(
    found.model[key] for key in ('frames', 'height', 'width')
  )
  got = jax.tree.map(jnp.asarray, checkpoint.read(run))
  for x, y in zip(*map(jax.tree.leaves, (got, found.params))):
    np.testing.assert_array_equal(x, y)
  encoder = objective.make(**found.model)
  clips = np.random.default_rng(3).integers(0, 256, (1, *job.clip, 3), np.uint8)
  clips = jnp.asarray(clips)
  expected = encoder.features(got, clips, depth=0.95).tokens
  tokens = job.objective.tokens(got, {'video': clips})
  np.testing.assert_allclose(tokens, expected, atol=1e-6)


def test_it_is_made_once_and_a_changed_folder_is_another(tmp_path, capsys):
  family = 'videomae'
  options = {'pretraining': RECIPE, 'kept': str(tmp_path / 'kept')}
  path = folders.save(tmp_path / 'x', family)
  run = encoders.run_of(f'hf:{path}', **options)
  assert 'wrote' in capsys.readouterr().out
  config = json.loads((pathlib.Path(run) / 'config.json').read_text())
  assert config['made_of']['folder'] == path
  assert 'model.safetensors' in config['made_of']['files']
  assert encoders.run_of(f'hf:{path}', **options) == run
  said = capsys.readouterr().out
  assert 'was converted before' in said
  assert 'wrote' not in said
  folders.save(tmp_path / 'x', family, folders.arrays(family, seed=1))
  other = encoders.run_of(f'hf:{path}', **options)
  assert other != run
  assert checkpoint.steps(other) == checkpoint.steps(run) == [0]


def test_a_folder_of_a_run_is_left_alone():
  assert encoders.run_of('runs/x', pretraining=RECIPE) == 'runs/x'


def test_several_processes_are_told_to_convert_first(monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 4)
  with pytest.raises(ValueError, match=r'published convert hf:x --out'):
    encoders.run_of('hf:x', pretraining=RECIPE)


def test_which_features_are_read_is_said(made, capsys):
  _, _, run = made
  encoders.say_features(run, 0.95)
  assert 'hidden state 2 of 0 to 3' in capsys.readouterr().out
  encoders.say_features(run, (0.5, 1.0))
  assert capsys.readouterr().out.count('hidden state') == 2
  encoders.say_features('nowhere', 0.95)  # `resolve` tells
  assert not capsys.readouterr().out


def test_the_commands(tmp_path):
  path = folders.save(tmp_path / 'x', 'videomae')
  command = [sys.executable, '-m', 'models.published']

  def run(*words):
    return subprocess.run([*command, *words], capture_output=True, text=True)

  told = run('info', f'hf:{path}')
  assert 'blocks' in told.stdout, told.stderr
  wrong = run('info', f'hf:{path}', '--frames=4')
  assert '--frames, --height and --width are of convert' in wrong.stderr
  out = tmp_path / 'run'
  done = run('convert', f'hf:{path}', f'--out={out}')
  assert not done.returncode, done.stderr
  assert checkpoint.steps(str(out)) == [0]


@pytest.mark.slow
@pytest.mark.parametrize('finetune', [0.0, 0.1])
def test_a_readout_of_it_is_trained(finetune, made, tmp_path):
  _, _, run = made
  result = evaluate.run(
    recipe(finetune=finetune), checkpoint=run, workdir=str(tmp_path)
  )
  assert result['tasks']['depth']['clips'] == 8
