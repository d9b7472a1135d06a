"""The recipe of distillation: each section fits the function it is for."""

import pytest

from configs import distill as recipe
from models import distill, objective
from train import optim


@pytest.mark.parametrize(
  'arg', ['', 'data=my/videos,teacher=E.npz', 'data=v,teacher=E,size=S,steps=9']
)
def test_sections_are_keyword_arguments(arg):
  config = recipe.get_config(arg).to_dict()
  assert isinstance(objective.make(**config['model']), distill.Distill)
  optim.make(steps=config['steps'] + 5_000, **config['optim'])
  ((_, data),) = config['data']['sources'].items()
  for key in ('frames', 'height', 'width'):
    assert data[key] == config['model'][key]


def test_the_published_pair_is_e_and_b():
  config = recipe.get_config('data=v,teacher=E.npz').to_dict()
  made = objective.make(**config['model'])
  assert made.student.size.parameters == 87_439_104
  assert made.teacher.size.parameters == 3_809_464_064
  assert config['init_parts']['teacher']['path'] == 'E.npz'
  assert config['step']['freeze'] == ('teacher/.*',)


def test_videos_need_a_teacher():
  with pytest.raises(ValueError, match='needs a teacher'):
    recipe.get_config('data=v')
  with pytest.raises(ValueError, match="did you mean 'tiny'"):
    recipe.get_config('data=v,teacher=E.npz,teacher_size=tinny')
