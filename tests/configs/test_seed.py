"""A seed is of all that a recipe draws, and of nothing else."""

import pytest

from configs import distill, mae, moog, quickstart, readout, rvm


def flat(config, path=''):
  for key, value in config.items():
    if isinstance(value, dict):
      yield from flat(value, f'{path}{key}.')
    else:
      yield f'{path}{key}', value


@pytest.mark.parametrize('data', ['world', 'DATA'])
@pytest.mark.parametrize(
  'recipe', [mae, moog, rvm, distill, quickstart, readout]
)
def test_a_seed_reaches_the_run_its_data_and_its_world(recipe, data):
  arguments = {
    mae: f'size=S,data={data},',
    moog: f'data={data},',
    rvm: f'data={data},',
    distill: f'data={data},teacher=FILE,',
    quickstart: '',
    readout: f'data={"world" if data == "world" else "ssv2,data.path=DIR"},',
  }[recipe]
  one, other = (
    dict(flat(recipe.get_config(f'{arguments}seed={seed}').to_dict()))
    for seed in (3, 4)
  )
  changed = {key for key in one if one[key] != other[key]}
  seeds = {key for key in one if key.split('.')[-1] == 'seed'}
  assert changed == seeds >= {'seed', 'data.seed'}
  assert {one[key] for key in seeds} == {3}
