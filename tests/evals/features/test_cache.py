"""Features that are cached train and test the same readout."""

import sys

import jax
import numpy as np
import pytest

from data.sources import features as stored
from evals import evaluate
from evals.features import cache as cache_lib
from evals.resolve import resolve


@pytest.fixture(scope='module')
def bfloat16(recipe):
  return {**recipe, 'features': {'depth': 0.95, 'feature_dtype': 'bfloat16'}}


@pytest.mark.slow
def test_the_result_is_the_same_and_the_backbone_runs_once(
  train, bfloat16, tmp_path, monkeypatch
):
  want, params = train(**bfloat16)
  cache = str(tmp_path / 'cache')
  got, same = train(tmp_path / 'first', **{**bfloat16, 'feature_cache': cache})
  for heads in (params['heads'], same['heads']):
    # A softmax does not see it: Adam makes steps of its rounding errors.
    del heads['depth']['attention']['key']['bias']
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, atol=5e-5), same, params
  )
  for name, score in want['tasks']['depth']['metrics'].items():
    found = got['tasks']['depth']['metrics'][name]
    assert found == pytest.approx(score, rel=1e-4)
  assert got['source'] == 'toy'
  assert (tmp_path / 'first' / 'pictures' / 'depth.png').exists()
  assert len(list((tmp_path / 'cache').iterdir())) == 1

  # Another job on the same features does not run the backbone again.
  monkeypatch.setattr(cache_lib.features, 'write', None)
  again, _ = train(**{**bfloat16, 'lrs': (1e-3,), 'feature_cache': cache})
  assert again['tasks']['depth']['metrics'] != got['tasks']['depth']['metrics']


def test_a_half_written_split_is_written_anew(tmp_path):
  rng = np.random.default_rng(0)
  clips = rng.normal(size=(5, 2, 3, 4)).astype(np.float32)

  def killed():
    yield clips[:2]
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    stored.write(tmp_path, 'train', killed())
  assert stored.described(tmp_path, 'train') is None
  stored.write(tmp_path, 'train', [clips[:2], clips[2:]])
  source = stored.make(
    'train', path=str(tmp_path), source={'name': 'toy'}, keys=('features',)
  )
  assert len(source) == 5
  for index, clip in enumerate(clips):
    got = source.read(index, rng)['features']
    assert got.dtype == stored.DTYPE
    np.testing.assert_array_equal(got, clip.astype(stored.DTYPE))


def test_what_must_not_be_cached(run, bfloat16, tmp_path, monkeypatch):
  def fails(match, **changes):
    with pytest.raises(ValueError, match=match):
      resolve(
        {**bfloat16, 'feature_cache': str(tmp_path), **changes},
        checkpoint=str(run),
        random_init=True,
      )

  fails('frozen backbone', finetune=0.1)
  mute = {'mute': {'name': 'mute', 'weight': 1.0}}
  fails('leave config.test_sources empty', test_sources=mute)
  data = bfloat16['data'] | {'sources': mute, 'keys': ['video']}
  # As if it had labels.
  monkeypatch.setattr(
    sys.modules['data.sources.mute'], 'KEYS', ('video', 'depth')
  )
  fails("'mute' draws at random", data=data)


def test_a_file_is_no_cache(run, bfloat16, tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(ValueError, match=r'file is a file, expected a folder'):
    evaluate.run(
      {**bfloat16, 'feature_cache': str(tmp_path / 'file')},
      checkpoint=str(run),
      workdir=str(tmp_path / 'out'),
    )


def test_other_weights_have_another_folder(run, bfloat16, tmp_path):
  recipe = {**bfloat16, 'feature_cache': str(tmp_path)}

  def folder(**options):
    changed = {**recipe, **options.pop('changes', {})}
    return resolve(changed, checkpoint=str(run), **options).cache

  every = [
    folder(random_init=False),
    folder(random_init=True),
    folder(random_init=True, changes={'seed': 6}),
  ]
  assert len(set(every)) == 3
  assert folder(random_init=False, changes={'steps': 9}) == every[0]
