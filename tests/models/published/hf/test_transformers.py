"""Encoders equal transformers' own, in value and in gradient.

With `pip install --group peers` here, or SCALE4D_PEERS, an interpreter that has
torch, transformers and safetensors; skipped without.
"""

import functools
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
# What is beside the encoder is small, too.
_PREDICTOR = {
  **{'pred_hidden_size': 24, 'pred_num_attention_heads': 2},
  **{'pred_num_hidden_layers': 1, 'num_pooler_layers': 1},
}
CASES = [
  ('videomae', 'VideoMAEModel', {}),
  ('videomae', 'VideoMAEForPreTraining', {}),
  ('videomae', 'VideoMAEForVideoClassification', {'use_mean_pooling': True}),
  ('vjepa2', 'VJEPA2Model', _PREDICTOR),
  ('vjepa2', 'VJEPA2ForVideoClassification', _PREDICTOR),
  ('dinov2', 'Dinov2Model', {}),
  ('dinov2', 'Dinov2ForImageClassification', {'use_swiglu_ffn': True}),
  ('dinov2_with_registers', 'Dinov2WithRegistersModel', {}),
]
# Beside pixels, what its encoder is called with.
ARGUMENTS = {'vjepa2': {'skip_predictor': True}}
# Of encoders of pictures, the tokens that are not of a place.
EXTRA = {'dinov2': 1, 'dinov2_with_registers': 3}


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
    **{'config': config, 'model': model, 'clips': len(clips)},
    **{'arguments': ARGUMENTS.get(family, {}), 'extra': EXTRA.get(family)},
    **{'tokens': _tokens(family), 'width': width},
  )
  (out / 'preprocessor_config.json').write_text(
    json.dumps(folders.PREPROCESSOR)
  )
  made, params = loaded(str(out), **folders.clip(family))
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

  raw = jax.tree.map(jnp.asarray, _raw(out))
  _, back = jax.vjp(functools.partial(_finished, out), raw)
  gradient = _unfolded(flat(jax.grad(product)(params)))
  (got,) = back(gradient)
  expected = _raw(out, 'gradient')
  assert got.keys() == expected.keys() == raw.keys()
  for name, x in expected.items():
    if name.endswith('key/bias') and family != 'vjepa2':
      # Of what no turn is between, it is 0, and both are rounding errors.
      assert max(np.abs(got[name]).max(), np.abs(x).max()) < 1e-4
      continue
    # Of keys that are turned, float32 rounds more: 1.5e-5 was seen.
    limit = 2e-5 if (family, 'key' in name) == ('vjepa2', True) else 1e-5
    assert difference(np.asarray(got[name]), x) < limit, name


def _tokens(family):
  config, (t, h, w) = folders.CONFIGS[family], folders.CLIPS[family]
  side = config['patch_size']
  tube = config.get('tubelet_size', 1)  # pictures have none
  return t // tube * (h // side) * (w // side)


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
  with np.load(out / 'states.npz') as states:
    return dict(states)


def _raw(out, part='.'):
  """By our names, before anything is part of anything else.

  Args:
    out: folder of the encoder.
    part: 'gradient': of its weights, as if it were weights.
  """
  (out / part / 'config.json').write_text((out / 'config.json').read_text())
  found = folder.opened(str(out / part))
  return arrays.read(found, family_of(found).known(found))


def _finished(out, leaves):
  """What becomes of them, but for pixels' mean; values tell that it is so."""
  return family_of(folder.opened(str(out))).finished(leaves)


def _unfolded(gradient):
  """By the chain rule, of K / std and b - sum of K mean / std."""
  mean, std = (
    np.asarray(folders.PREPROCESSOR[f'image_{x}'], np.float32)[:, None]
    for x in ('mean', 'std')
  )
  kernel, bias = gradient[arrays.KERNEL], gradient[arrays.BIAS]
  return gradient | {arrays.KERNEL: (kernel - bias * mean) / std}
