"""Validation while training: what a person reads of it."""

from train import evaluate


def test_few_scalars_are_all_said():
  said = evaluate.line({'eval/loss': 1.25, 'eval/psnr': 20.0})
  assert said == ['loss 1.2500', 'psnr 20.0000']


def test_of_many_scalars_the_losses_are_said():
  names = [f'task/lr_{i}/{n}' for i in range(15) for n in ('loss', 'a', 'b')]
  said = evaluate.line({f'eval/{name}': 2.0 for name in ['loss', *names]})
  assert said[:2] == ['loss 2.0000', 'task/lr_0/loss 2.0000']
  assert said[-1] == '(30 more in metrics.jsonl)'
  assert len('  '.join(said)) < 500
