"""Propagation from a benchmark to its result, with features that are known."""

import json
import types

import jax.numpy as jnp
import numpy as np
import pytest

from evals.propagate import benchmarks, encoder, run


class Known(encoder.Encoder):
  """Features that tell the objects apart, or that tell nothing."""

  tells = True
  repeat, window = 2, 5
  grid, size = (16, 24), (32, 48)

  def __init__(self, checkpoint, **options):
    del options
    self.backbone = types.SimpleNamespace(
      model={'name': checkpoint}, step=1, saved=2
    )

  def __call__(self, sequence):
    truth = sequence.segmentation()[:, ::2, ::2]
    features = np.eye(256, dtype=np.float32)[truth if self.tells else 0 * truth]
    features = features.reshape(len(truth), -1, 256)[..., :8]
    for begin in range(0, len(truth), self.window):
      part = features[begin : begin + self.window]
      real = len(part)
      more = np.repeat(part[-1:], self.window - real, axis=0)
      yield jnp.asarray(np.concatenate([part, more])), real


class Blind(Known):
  tells = False


def propagate(folder, monkeypatch, how=Known, **options):
  monkeypatch.setattr(run, 'Encoder', how)
  return run.propagate(
    **{'checkpoint': 'known', 'data': 'world', 'out': str(folder)}
    | {'sequences': 3, 'topk': 7}
    | options
  )


def test_features_that_tell_objects_apart_carry_them(
  tmp_path, monkeypatch, capsys
):
  found = propagate(tmp_path / 'a', monkeypatch)
  told = capsys.readouterr().out
  # Places are of two pixels: edges are not exact.
  assert found['metrics']['j_and_f']['value'] > 0.85
  assert found['metrics']['j_and_f']['value'] > found['trivial']['j_and_f']
  assert set(found['sequences']) == {'0000', '0001', '0002'}
  for name, x in found['metrics'].items():
    assert x['low'] <= x['value'] <= x['high'], name
  assert json.loads((tmp_path / 'a/result.json').read_text()) == found
  assert len(list((tmp_path / 'a/pictures').glob('*.png'))) == 3
  assert 'as the first frame' in told
  assert 'each shown 2 times' in told

  # The same command goes on: what is there is not made again.
  (tmp_path / 'a/sequences/0001.json').unlink()
  before = (tmp_path / 'a/sequences/0000.json').stat().st_mtime_ns
  again = propagate(tmp_path / 'a', monkeypatch)
  assert again == found
  assert (tmp_path / 'a/sequences/0000.json').stat().st_mtime_ns == before
  assert '2 of 3 sequences are there' in capsys.readouterr().out

  # Another way is another folder.
  with pytest.raises(ValueError, match=r'options\.topk: 7 there, 2 here'):
    propagate(tmp_path / 'a', monkeypatch, topk=2)

  blind = propagate(tmp_path / 'b', monkeypatch, how=Blind)
  least = found['metrics']['j_and_f']['value'] - 0.3
  assert blind['metrics']['j_and_f']['value'] < least


@pytest.mark.parametrize(
  ('options', 'why'),
  [
    ({'data': 'davs'}, "unknown --data 'davs'.*did you mean 'davis'"),
    ({'data': 'davis'}, 'needs its folder.*give --path=DIR'),
    ({'path': 'here'}, 'is drawn here.*leave it out'),
    ({'sequences': -1}, '--sequences=-1 must be 0'),
    ({'random_init': True, 'step': 3}, 'leave one of them out'),
    ({'topk': 0}, '--topk=0 must be 1 or more'),
    ({'out': 'gs://a/b'}, 'must be a folder of a disk'),
  ],
)
def test_what_cannot_be_is_one_line(tmp_path, monkeypatch, options, why):
  with pytest.raises(ValueError, match=why) as refused:
    propagate(tmp_path / 'out', monkeypatch, **options)
  assert '\n' not in str(refused.value)
  assert not (tmp_path / 'out').exists()


def test_defaults_are_those_of_dino():
  for name in ('world', 'davis'):
    options = benchmarks.get(name).options
    assert (options.context, options.neighbourhood) == (7, 12)
    assert (options.topk, options.temperature) == (5, 0.1)


def test_a_run_without_patches_is_refused(tmp_path, monkeypatch):
  config = {'model': {'name': 'moog', 'frames': 8, 'height': 64, 'width': 64}}
  monkeypatch.setattr(encoder, 'read_config', lambda checkpoint: config)
  with pytest.raises(ValueError, match='moog, whose tokens are not of places'):
    encoder.Encoder('RUN', step=-1, depth=0.95, size=None, random_init=False)
