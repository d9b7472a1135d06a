"""Encoders equal transformers' own, in value and in gradient.

With `pip install --group peers` here, or SCALE4D_PEERS, an interpreter that has
torch, transformers and safetensors; skipped without.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.published.hf import arrays, family_of, folder
from models.published.loading import flat
from tests.models.published.hf import folders
from tests.models.published.hf.conftest import loaded
from tests.models.published.hf.test_equal import depth_of, difference

PEER = pathlib.Path(__file__).with_name('peer.py')
NEEDS = ('torch', 'transformers', 'safetensors')
CASES = [
  ('videomae', 'VideoMAEModel', {}),
  ('videomae', 'VideoMAEForPreTraining', {}),
  ('videomae', 'VideoMAEForVideoClassification', {'use_mean_pooling': True}),
]
# Beside pixels, what its encoder is called with.
ARGUMENTS = {'videomae': {}}


@pytest.fixture(scope='module')
def interpreter():
  if found := os.environ.get('SCALE4D_PEERS'):
    return found
  missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
  if missing:
    pytest.skip(f'not installed: {", ".join(missing)}; see SCALE4D_PEERS')
  return sys.executable


@pytest.mark.parametrize(('family', 'model', 'changes'), CASES, ids=str)
def test_values_and_gradients(family, model, changes, interpreter, tmp_path):
  config = folders.CONFIGS[family] | changes
  clips = folders.video(family)
  seen = np.moveaxis(folders.normalised(clips), -1, 2)
  width = config['hidden_size']
  blocks, out = config['num_hidden_layers'], tmp_path / 'out'
  states = _run(
    interpreter,
    tmp_path,
    out,
    pixels=seen,
    **{'config': config, 'model': model, 'arguments': ARGUMENTS[family]},
    **{'tokens': _tokens(config), 'width': width},
  )
  (out / 'preprocessor_config.json').write_text(
    json.dumps(folders.PREPROCESSOR)
  )
  made, params = loaded(str(out))
  clips = jnp.asarray(clips)
  for index in range(blocks + 1):
    depth = depth_of(index, blocks)
    got = made.features(params, clips, depth=depth).tokens
    expected = states[f'arr_{index}']
    assert difference(got.reshape(expected.shape), expected) < 1e-5

  cotangent = jnp.asarray(np.load(tmp_path / 'cotangent.npy'), 'float32')

  def product(params):
    tokens = made.features(params, clips, depth=1.0).tokens
    return jnp.vdot(tokens.reshape(cotangent.shape), cotangent)

  got = flat(jax.grad(product)(params))
  expected = _gradient(out)
  assert got.keys() == expected.keys()
  got = _unfolded({name: np.asarray(x) for name, x in got.items()})
  for name, x in expected.items():
    assert difference(got[name], x) < 1e-5, name


def _tokens(config):
  t = config['num_frames'] // config['tubelet_size']
  return t * (config['image_size'] // config['patch_size']) ** 2


def _run(interpreter, tmp_path, out, *, pixels, tokens, width, **asked):
  """Hidden states in transformers, which leaves its folder in `out`."""
  cotangent = np.random.default_rng(7).normal(size=(len(pixels), tokens, width))
  for name, array in (('pixels', pixels), ('cotangent', cotangent)):
    np.save(tmp_path / f'{name}.npy', array)
    asked[name] = str(tmp_path / f'{name}.npy')
  (tmp_path / 'in.json').write_text(json.dumps({'seed': 0, **asked}))
  command = [interpreter, str(PEER), str(tmp_path / 'in.json'), str(out)]
  done = subprocess.run(command, capture_output=True, text=True)
  assert not done.returncode, done.stderr
  return np.load(out / 'states.npz')


def _gradient(out):
  """By our names, as if they were weights: of theirs, before pixels' mean."""
  place = out / 'gradient'
  (place / 'config.json').write_text((out / 'config.json').read_text())
  found = folder.opened(str(place))
  return arrays.read(found, family_of(found).known(found))


def _unfolded(gradient):
  """Of theirs by the chain rule: K / std and b - sum of K mean / std."""
  mean, std = (
    np.asarray(folders.PREPROCESSOR[f'image_{x}'])[:, None]
    for x in ('mean', 'std')
  )
  kernel, bias = gradient[arrays.KERNEL], gradient[arrays.BIAS]
  return gradient | {arrays.KERNEL: (kernel - bias * mean) / std}
