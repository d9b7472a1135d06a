"""Validation while training: what a person reads of it."""

from unittest import mock

import jax
import numpy as np
import pytest

from train import evaluate
from train import mesh as mesh_lib
from train.program import Program
from train.watchdog import Watchdog
from train.writer import Writer


class Seen:
  """An objective that draws its pictures, and says nothing else."""

  def pictures(self, params, batch, rng):
    return {'drawn': jax.random.uniform(rng, batch['row'].shape)}

  def loss(self, params, batch, rng, *, ema=None, train=True):
    raise NotImplementedError

  init = features = flops = loss


@pytest.fixture(scope='module')
def evaluated(tiny_config):
  """A function of a seed: numbers that batches were given, and pictures."""

  def run(seed):
    asked, mesh = [], mesh_lib.make(devices=jax.devices()[:1])

    def judge(params, batch, number):
      asked.append((int(number), np.asarray(batch['video']).sum()))
      return {'loss': np.float32(number), 'of': {}}

    program = mock.Mock(
      spec=Program, objective=Seen(), mesh=mesh, eval_step=judge
    )
    made = evaluate.Evaluation(
      *(tiny_config()['data'], program, seed),
      **{'every': 3, 'batches': 2, 'pictures': 2, 'workers': 0},
    )
    writer = mock.Mock(spec=Writer)
    with mesh_lib.use(mesh):
      made.run({}, 3, writer, mock.Mock(spec=Watchdog))
    (means,), (drawn,) = (
      [call.args[1] for call in told.call_args_list]
      for told in (writer.scalars, writer.pictures)
    )
    return asked, means, drawn['drawn'].tolist()

  return run


def test_each_batch_is_another_one_with_draws_of_its_own(evaluated):
  (one, other), means, _ = evaluated(0)
  assert (one[0], other[0]) == (0, 1)
  assert one[1] != other[1]
  assert means == {'eval/loss': 0.5}


def test_pictures_are_drawn_by_the_seed_and_alike_each_time(evaluated):
  first, again, other = (evaluated(seed)[2] for seed in (0, 0, 1))
  assert first == again != other


def test_few_scalars_are_all_said():
  said = evaluate.line({'eval/loss': 1.25, 'eval/psnr': 20.0})
  assert said == ['loss 1.2500', 'psnr 20.0000']


def test_of_many_scalars_the_losses_are_said():
  names = [f'task/lr_{i}/{n}' for i in range(15) for n in ('loss', 'a', 'b')]
  said = evaluate.line({f'eval/{name}': 2.0 for name in ['loss', *names]})
  assert said[:2] == ['loss 2.0000', 'task/lr_0/loss 2.0000']
  assert said[-1] == '(30 more in metrics.jsonl)'
  assert len('  '.join(said)) < 500
