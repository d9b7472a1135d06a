"""Heads of several learning rates, fine-tuning, and meshes of readouts."""

import itertools

import jax
import numpy as np
import pytest

from train import optim


@pytest.fixture(scope='module')
def several(train):
  return train(lrs=(3e-2, 1e-3))


@pytest.fixture(scope='module')
def single(train):
  return train(lrs=(1e-3,))


def _check_close(got, want):
  """Heads are equal, but for what the loss does not see.

  A bias that all keys share changes no softmax: Adam makes steps of rounding
  errors.
  """
  for params in (got, want):
    params['heads']['depth']['attention']['key'].pop('bias', None)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, atol=2e-5),
    *(got['heads'], want['heads']),
  )


def test_a_head_is_trained_as_if_it_were_alone(several, single):
  _, together = several
  result, alone = single
  _check_close(jax.tree.map(lambda x: x[1:], together), alone)
  found = several[0]['tasks']['depth']['heads'][1]['test']
  for name, score in result['tasks']['depth']['metrics'].items():
    assert found[name] == pytest.approx(score['value'], rel=1e-4)


def test_the_best_on_validation_is_reported_and_all_are_listed(several):
  found = several[0]['tasks']['depth']
  assert [head['lr'] for head in found['heads']] == [3e-2, 1e-3]
  by_validation = [h['validation']['abs_rel'] for h in found['heads']]
  assert found['head'] == int(np.argmin(by_validation))
  chosen = found['heads'][found['head']]
  assert found['lr'] == chosen['lr']
  assert found['metrics']['abs_rel']['value'] == chosen['test']['abs_rel']
  assert by_validation[0] != by_validation[1]


def test_a_head_for_each_rate_and_decay_is_trained_as_if_alone(train):
  result, together = train(lrs=(1e-2, 1e-3), weight_decays=(0.5, 0.0, 2.0))
  found = result['tasks']['depth']
  sides = [(head['lr'], head['weight_decay']) for head in found['heads']]
  assert sides == [(lr, wd) for lr in (1e-2, 1e-3) for wd in (0.5, 0.0, 2.0)]
  one, alone = train(lrs=(1e-3,), weight_decays=(2.0,))
  assert one['tasks']['depth']['weight_decay'] == 2.0
  _check_close(jax.tree.map(lambda x: x[5:], together), alone)
  # They are not one another's.
  kernels = together['heads']['depth']['mlp']['dense_in']['kernel']
  assert all(abs(x - y).max() > 1e-4 for x, y in itertools.pairwise(kernels))


def test_a_head_reads_features_of_its_depth(train):
  features = {'depth': (0.5, 1.0), 'feature_dtype': 'float32'}
  result, together = train(lrs=(1e-2, 1e-3), features=features)
  found = result['tasks']['depth']
  sides = [(head['lr'], head['depth']) for head in found['heads']]
  assert sides == [(1e-2, 0.5), (1e-2, 1.0), (1e-3, 0.5), (1e-3, 1.0)]
  features = {'depth': 1.0, 'feature_dtype': 'float32'}
  one, alone = train(lrs=(1e-3,), features=features)
  _check_close(jax.tree.map(lambda x: x[3:], together), alone)
  scores = one['tasks']['depth']['metrics']
  for name, score in found['heads'][3]['test'].items():
    assert score == pytest.approx(scores[name]['value'], rel=1e-4)
  kernels = together['heads']['depth']['mlp']['dense_in']['kernel']
  assert abs(kernels[2] - kernels[3]).max() > 1e-4


def test_fine_tuning_moves_the_backbone_by_its_share(pretrained, train):
  result, after = train(finetune=0.5)
  moved = jax.tree.map(
    lambda x, y: np.abs(x - y).max(), after['backbone'], pretrained
  )
  assert result['finetune'] == 0.5
  # Adam's first steps move by about the learning rate each.
  _, rate = optim.make(steps=3, **result['config']['optim'])
  whole = sum(float(rate(step)) for step in range(3))
  assert max(jax.tree.leaves(moved)) == pytest.approx(0.5 * whole, rel=0.3)


def test_earlier_blocks_move_by_their_share(pretrained, train):
  features = {'depth': 1.0, 'feature_dtype': 'float32'}
  result, after = train(finetune=0.5, layer_decay=0.5, features=features)
  moved = jax.tree.map(
    lambda x, y: np.abs(x - y), after['backbone'], pretrained
  )
  _, rate = optim.make(steps=3, **result['config']['optim'])
  whole = 0.5 * sum(float(rate(step)) for step in range(3))
  blocks = moved['processor']['layers']['mlp']['dense_in']['kernel']
  # Adam's steps are about the rate; what the last block makes is never read.
  shares = [block.max() / whole for block in blocks]
  assert shares[:2] == pytest.approx([0.25, 0.5], rel=0.3)
  embedding = moved['encoder']['patch_embedding']['kernel'].max() / whole
  assert embedding == pytest.approx(0.125, rel=0.3)


# test_mesh.py has its scores, train/test_step.py its step.
@pytest.mark.slow
def test_a_sharded_job_equals_one_that_is_not(train, single):
  result, params = train(
    lrs=(1e-3,), mesh={'replica': 1, 'fsdp': 2, 'tensor': 2, 'sequence': 2}
  )
  want, same = single
  _check_close(params, same)
  for name, score in result['tasks']['depth']['metrics'].items():
    expected = want['tasks']['depth']['metrics'][name]
    assert score == pytest.approx(expected, rel=1e-4)


def test_rates_that_cannot_be_trained_together(train, recipe):
  with pytest.raises(ValueError, match=r'step\.outlier they share'):
    train(lrs=(1e-2, 1e-3), step=recipe['step'] | {'outlier': 4.0})
  with pytest.raises(ValueError, match='share a backbone or a norm'):
    train(lrs=(1e-2, 1e-3), finetune=0.1)
  with pytest.raises(ValueError, match='above 0, each once'):
    train(lrs=(1e-2, 1e-2))
  with pytest.raises(ValueError, match='share a backbone or a norm'):
    train(weight_decays=(1e-2, 1e-3), finetune=0.1)
  with pytest.raises(ValueError, match='one depth, or several, each once'):
    train(features={'depth': (0.5, 0.5), 'feature_dtype': 'float32'})
  with pytest.raises(ValueError, match='keeps features of one depth'):
    train(
      features={'depth': (0.5, 1.0), 'feature_dtype': 'float32'},
      feature_cache='cache',
    )
  with pytest.raises(ValueError, match='decays of 0 or more, each once'):
    train(weight_decays=(0.1, -0.1))
  with pytest.raises(ValueError, match='of a backbone that is trained too'):
    train(layer_decay=0.5)
  with pytest.raises(ValueError, match=r'layer_decay=1\.5 must be above 0'):
    train(layer_decay=1.5, finetune=0.1)
  with pytest.raises(ValueError, match=r'finetune=-1 must be 0'):
    train(finetune=-1)
