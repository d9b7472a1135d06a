"""The readout recipe: each section fits the function that it is for."""

import inspect

import jax
import numpy as np
import pytest

from configs import readout as recipe
from evals import readout, task
from evals import task as task_lib
from train import optim


@pytest.mark.parametrize('name', recipe.RECIPES)
def test_sections_are_keyword_arguments(name):
  every = '+'.join(task.names())
  config = recipe.get_config(f'recipe={name},task={every}').to_dict()
  five = recipe.get_config(f'recipe={name},task=all').tasks
  assert sorted([*five, 'points3d']) == sorted(config['tasks']) == task.names()
  for each, options in config['tasks'].items():
    assert task.make(each, **options).head((16, 224, 224)).heads
  inspect.signature(readout.make).bind_partial(
    backbone=None, tasks=config['tasks'], **config['features']
  )
  optim.make(steps=config['steps'], lr=max(config['lrs']), **config['optim'])
  assert config['step']['freeze'] == ('backbone/.*',)


def test_paper_protocol():
  config = recipe.get_config('data=scannet')
  assert (config.steps, config.data.batch_size) == (40_000, 32)
  assert config.lrs == (1e-4, 3e-4, 1e-3)
  assert config.optim.final_lr == 1e-7
  assert config.optim.warmup_fraction * config.steps == 1000
  assert config.optim.clip_norm == 0
  # Of all parameters, biases too.
  assert (config.optim.weight_decay, config.optim.decay) == (1e-4, ('.*',))
  assert (config.optim.name, config.optim.schedule) == ('adamw', 'cosine')
  assert (config.optim.b1, config.optim.b2) == (0.9, 0.999)
  depth = config.tasks.depth
  assert (depth.width, depth.heads, depth.loss) == (1024, 16, 'l2')
  assert config.data.sources.scannet.name == 'scannet'


def test_protocol_of_videos_with_a_class():
  """Published heads; several clips of a test video are averaged."""
  published = {'ssv2': (174, 768, 12), 'kinetics': (700, 1024, 16)}
  for data, (classes, width, heads) in published.items():
    config = recipe.get_config(f'task=classify,data={data},data.path=x')
    found = config.tasks.classify
    assert (found.classes, found.width, found.heads) == (classes, width, heads)
    assert found.several
    source = config.data.sources[data]
    assert (source.clips, source.crops) == (4, 3)
  one = recipe.get_config('data=ssv2,data.crops=1').data.sources.ssv2
  assert one.crops == '1'
  config = recipe.get_config('task=classify,data=world,recipe=paper')
  assert config.tasks.classify.classes == 16
  assert not config.tasks.classify.several
  # Any other source is asked.
  for name in recipe.RECIPES:
    config = recipe.get_config(f'task=classify,data=tfds,recipe={name}')
    assert config.tasks.classify.classes == 0


@pytest.mark.parametrize(
  ('argument', 'said'),
  [
    ('data=tfds', 'paper, since data=tfds is not the built-in world'),
    ('', 'laptop, since data=world is the built-in world'),
    ('data=tfds,recipe=laptop', 'laptop, as it was asked for'),
  ],
)
def test_the_recipe_and_why_it_was_taken_are_told(argument, said):
  assert recipe.get_config(argument).recipe == said


def test_the_built_in_world_is_for_a_laptop():
  config = recipe.get_config('task=depth,data=world,seed=4,steps=9')
  assert config.tasks.depth.width == 128
  assert (config.seed, config.data.seed, config.steps) == (4, 4, 9)


def test_learning_rates_are_joined_by_plus_signs():
  assert recipe.get_config('lr=1e-4+3e-3').lrs == (1e-4, 3e-3)
  assert len(recipe.get_config('recipe=paper,finetune=0.1').lrs) == 1


def test_moogs_own_heads_have_their_published_sizes():
  config = recipe.get_config(
    'task=depth+points+boxes,data=movi,data.path=x,head=moog'
  ).to_dict()
  tokens = jax.ShapeDtypeStruct((1, 8, 5, 512), np.float32)
  counts = {}
  for name in ('points', 'boxes', 'depth'):
    task = task_lib.make(name, **config['tasks'][name])
    head = task.head((8, 128, 128))
    asked = {'points': 2, 'boxes': 4}.get(name)
    asked = asked and jax.ShapeDtypeStruct((1, 3, asked), np.float32)
    made = jax.eval_shape(head.init, jax.random.key(0), tokens, asked)
    counts[name] = sum(x.size for x in jax.tree.leaves(made))
  assert counts['points'] == 11_324_804
  assert counts['depth'] == 10_434_817
  # The values of two more coordinates, a wider query, and no logits.
  fewer = 512 * 512 + 512 + 512 * 2 + 2
  more = 2 * 513 + 2 * 32 * 512
  assert counts['boxes'] == 11_324_804 - fewer + more


@pytest.mark.parametrize(
  ('task', 'lacking'),
  [
    ('all', 'pose, classify'),
    ('points+pose', 'pose'),
    ('classify', 'classify'),
  ],
)
def test_tasks_without_a_head_of_moogs_are_named(task, lacking):
  with pytest.raises(ValueError, match=rf'head for {lacking} \(task.*Ask for '):
    recipe.get_config(f'task={task},head=moog')


def test_clear_errors():
  with pytest.raises(ValueError, match="did you mean 'depth'"):
    recipe.get_config('task=depht')
  with pytest.raises(ValueError, match='expected one of paper, laptop'):
    recipe.get_config('recipe=desktop')
  with pytest.raises(ValueError, match='expected one of attention, moog'):
    recipe.get_config('head=mog')
  with pytest.raises(ValueError, match="did you mean 'task'"):
    recipe.get_config('tsk=depth')
  with pytest.raises(ValueError, match="lr='fast' must be of type float"):
    recipe.get_config('lr=1e-3+fast')


def test_scores_are_those_of_the_benchmark_or_as_asked():
  def options(argument):
    tasks = recipe.get_config(f'task=all,recipe=paper,{argument}').tasks
    return {name: task.make(name, **x) for name, x in tasks.to_dict().items()}

  def said(argument, name):
    return options(argument)[name].convention

  assert said('data=world', 'points') == 'mode=first, unseen=no_value'
  assert said('data=world,as=kauldron', 'points') == 'mode=strided, unseen=zero'
  assert said('data=world,test=tapvid', 'points').startswith('mode=first')
  official = options('data=world,test=perception_test')
  assert official['points'].mode == 'strided'
  assert official['boxes'].headline == ('track_iou', 'iou')
  published = options('data=perception_test,as=4ds')
  assert published['points'].mode == 'first'
  assert published['boxes'].headline == ('iou', 'video_iou')
  assert said('data=world', 'depth') == 'clamp=false, average=pixels'
  assert said('data=world', 'pose') == 'bins=31, fold=false, still=counted'
  with pytest.raises(
    ValueError, match=r"as 'kaldron'.*did you mean 'kauldron'"
  ):
    recipe.get_config('as=kaldron')
