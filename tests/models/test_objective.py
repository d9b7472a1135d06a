"""The seam finds objectives by name, and says which there are."""

import sys
import types

import pytest

from models import mae, objective
from tests.models import recipes


def test_objectives_are_what_has_a_make():
  # Neither the seam, nor what objectives are built of.
  others = ['dinov2', 'videomae', 'vjepa2']
  assert objective.names() == sorted(['distill', 'mae', 'moog', 'rvm', *others])


@pytest.mark.parametrize('name', ['MAE', 'vit', 'objective', 'nn', ''])
def test_what_is_no_objective_is_told_which_there_are(name):
  known = 'dinov2, distill, mae, moog, rvm'
  message = f'unknown model.name {name!r}: expected one of {known}'
  with pytest.raises(ValueError, match=message):
    objective.make(name)
  with pytest.raises(ValueError, match=message):
    objective.for_readouts(name)
  with pytest.raises(ValueError, match="did you mean 'moog'"):
    objective.make('mog')


def test_a_library_that_is_missing_is_not_taken_for_the_objective(
  monkeypatch, tmp_path
):
  (tmp_path / 'needy.py').write_text('import no_such_library')
  monkeypatch.setattr(sys.modules['models'], '__path__', [str(tmp_path)])
  with pytest.raises(ModuleNotFoundError, match='no_such_library'):
    objective.make('needy')


def test_a_module_of_any_make_is_one(monkeypatch):
  module = types.ModuleType('models.other')
  module.make = mae.make
  monkeypatch.setitem(sys.modules, 'models.other', module)
  assert objective.make('other', **recipes.MAE) == recipes.mae()
  options = {'name': 'other', **recipes.MAE}
  assert objective.for_readouts(**options) == options


def test_a_folder_is_one():
  sizes = {'height': 80, 'width': 64}
  for name, known in (('moog', recipes.MOOG), ('rvm', recipes.RVM)):
    options = known | sizes
    made = objective.make(**objective.for_readouts(name, **options))
    assert made == getattr(recipes, name)(**options)
    assert isinstance(made, objective.Objective)
