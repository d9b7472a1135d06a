"""What a sweep yields is read, or refused in a line, before anything starts."""

import pytest

from configs.sweeps import scaling, world
from launch import overrides
from launch.sweep import runs

# ml_collections loads a recipe by it.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')

QUICK = 'configs/quickstart.py:steps=3'


@pytest.fixture
def sweep(tmp_path):
  """A function that writes a file of sweeps, and gives its path."""

  def write(text):
    path = tmp_path / 'sweep_mine.py'
    path.write_text(text)
    return str(path)

  return write


def test_a_sweep_is_a_function_of_a_file(sweep):
  path = sweep(
    'import itertools\n'
    'def sweep():\n'
    '  for lr, seed in itertools.product((1e-3, 2e-3), (0, 1)):\n'
    f'    yield {{"config": "{QUICK}", "optim.lr": lr, "seed": seed}}\n'
    'def sweep_patches(arg):\n'
    f'  yield {{"config": "{QUICK}", "name": arg, "model.patch": (2, 8, 8)}}\n'
  )
  items = runs.read(path, '')
  rates = [item.overrides['optim.lr'] for item in items]
  assert rates == [1e-3, 1e-3, 2e-3, 2e-3]
  (item,) = runs.read(f'{path}:mine', 'patches')
  assert item.name == 'mine'
  assert overrides.resolved(item.flags('DIR'))['model']['patch'] == (2, 8, 8)


def test_a_run_may_start_from_the_folder_of_another(sweep):
  teacher = {'config': QUICK, 'name': 'teacher'}
  student = {**teacher, 'name': 'b', 'init_from.path': {'run': 'teacher'}}
  path = sweep(f'def sweep(): return {[teacher, student]}')
  one, other = runs.read(path, '')
  assert (one.after, other.after) == ([], ['teacher'])
  assert other.flags('runs/x')[1:] == ['--config.init_from.path=runs/x/teacher']
  assert one.identity != other.identity


@pytest.mark.parametrize(
  ('text', 'name', 'why'),
  [
    ('x = 1', '', 'has no sweep'),
    ('def sweep_lr(): yield', '', 'give --sweep=, one of lr'),
    ('def sweep(): yield\ndef sweep_lr(): yield', 'lrs', "did you mean 'lr'"),
    ('def sweep(): yield 1', '', 'run 1 of sweep.. is a int, expected a dict'),
    ('def sweep(): yield {"optim.lr": 1}', '', 'needs its recipe'),
    ('def sweep(): yield {"config": "x", "a": None}', '', 'a=None must be a'),
    ('def sweep(): return []', '', 'yields no run'),
    ('def sweep(): return 3', '', 'returns 3, expected that it yields dicts'),
    ('def sweep(:', '', 'sweep_mine.py, line 1: invalid syntax'),
    (
      'def sweep(): yield {"config": "x", "name": 3}',
      '',
      'name=3 must be a te',
    ),
    (
      'def sweep(): yield {"config": "x", "forecast": 1}',
      '',
      'forecast=1 must be True or False',
    ),
  ],
)
def test_what_is_no_sweep_is_refused(sweep, text, name, why):
  with pytest.raises(ValueError, match=why):
    runs.read(sweep(text), name)


def test_a_file_that_is_not_there_and_an_argument_that_is_not_wanted(sweep):
  with pytest.raises(ValueError, match='is no file'):
    runs.read('configs/sweeps/scalin.py', '')
  path = sweep('def sweep(): yield {}')
  with pytest.raises(ValueError, match='takes no argument: leave out :a=1'):
    runs.read(f'{path}:a=1', '')


@pytest.mark.parametrize(
  ('flags', 'why'),
  [
    (
      [f'--config={QUICK}', '--config.optim.warmup_fractio=1'],
      "mean 'warmup_fraction'",
    ),
    ([f'--config={QUICK}', '--config.optim.lr=fast'], 'fast'),
    (['--config=configs/quickstart.py:stepz=3'], "did you mean 'steps'"),
    (['--config=configs/quickstar.py'], 'is no file'),
  ],
)
def test_a_wrong_override_is_one_line(flags, why):
  with pytest.raises(ValueError, match=why) as raised:
    overrides.resolved(flags)
  assert '\n' not in str(raised.value)


@pytest.mark.parametrize('name', ['', 'iso_flops', 'tiny'])
def test_the_sweeps_that_come_with_it_are_of_recipes_as_they_are(name):
  items = runs.read('configs/sweeps/scaling.py', name)
  assert len(items) >= 6
  for item in items:
    resolved = overrides.resolved(item.flags('DIR'))
    batch, accumulate = resolved['data']['batch_size'], resolved['step']
    assert batch % accumulate['accumulate'] == 0


@pytest.mark.parametrize(
  'name',
  [
    *('ladder', 'rates', 'mask', 'patch', 'decoder', 'stride', 'videos'),
    'methods',
  ],
)
def test_the_studies_on_the_world_are_of_recipes_as_they_are(name):
  items = runs.read('configs/sweeps/world.py', name)
  assert len({item.name for item in items}) == len(items) >= 4
  for item in items:
    overrides.resolved(item.flags('DIR'))


def test_the_ladder_of_the_world_is_forecast_of_what_saw_as_many_clips():
  items = runs.read('configs/sweeps/world.py:clips=3200', 'ladder')
  (largest,) = [number for number, item in enumerate(items) if item.forecast]
  resolved = [overrides.resolved(item.flags('DIR')) for item in items]
  clips = [x['steps'] * x['data']['batch_size'] for x in resolved]
  assert set(clips[: largest + 1]) == {3200}
  widths = {x['model']['dim'] for x in resolved[:largest]}
  assert max(widths) < resolved[largest]['model']['dim']
  # The other series: clips times FLOPs of a clip are the middle size's.
  flops = world.FLOPS
  for each, count in list(zip(resolved, clips))[largest + 1 :]:
    spent = count * flops[each['model']['dim']]
    assert spent == pytest.approx(3200 * flops[world.MIDDLE], rel=0.03)


def test_sizes_of_the_ladder_see_the_same_clips():
  resolved = [
    overrides.resolved(item.flags('DIR'))
    for item in runs.read('configs/sweeps/scaling.py', '')
  ]
  clips = {x['steps'] * x['data']['batch_size'] for x in resolved}
  assert len(clips) == 1
  sizes = {x['model']['size'] for x in resolved}
  assert sizes == scaling.SLICES.keys()
