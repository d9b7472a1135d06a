"""A source of thirteen clips whose depth is written in their colours."""

import json
import shutil
import sys
import types

import jax
import numpy as np
import pytest

from configs import common
from evals import evaluate
from models import objective as objective_lib
from tests.evals import recipes as readouts
from tests.models import recipes
from train import loop

SIZES = {'train': 16, 'validation': 16, 'test': 13}
T, H, W = 4, 16, 24
LOG = {
  **{'every': 1, 'tensorboard': False},
  **{'wandb': 'disabled', 'wandb_project': 'scale4d', 'wandb_group': ''},
}
_COMMON = common.training(
  lr=0.0, warmup_fraction=0.0, every=1, log_every=1, health_every=0
)
OPTIM, STEP, SKIPS, HEALTH = (
  _COMMON[key] for key in ('optim', 'step', 'skips', 'health')
)
OPTIM |= {'clip_norm': 0.0}
del OPTIM['lr']


class Toy:
  """Depth is 1 to 5 metres, as the red channel says."""

  is_fixed = True

  def __init__(self, split, keys):
    self.split, self.keys = split, keys

  def __len__(self):
    return SIZES[self.split]

  def read(self, index, rng):
    del rng
    own = np.random.default_rng((sorted(SIZES).index(self.split), index))
    video = own.integers(0, 256, (T, H // 8, W // 8, 3), dtype=np.uint8)
    video = video.repeat(8, axis=1).repeat(8, axis=2)
    depth = 1 + 4 * video[..., :1].astype(np.float32) / 255
    depth[:, : index % H] = 0  # some clips have more valid pixels than others
    clip = {'video': video, 'depth': depth}
    return {key: clip[key] for key in self.keys if key in clip}


class Mute(Toy):
  """The same without labels."""

  is_fixed = False

  def read(self, index, rng):
    return {'video': super().read(index, rng)['video']}


def _module(name, source):
  module = types.ModuleType(f'data.sources.{name}')
  module.KEYS = ('video', 'depth') if source is Toy else ('video',)
  module.make = lambda split, *, keys, **clip: source(split, keys)
  return module


@pytest.fixture(scope='module', autouse=True)
def toy_sources():
  """Sources `toy` and `mute`, as if they were modules of data/sources."""
  modules = {
    f'data.sources.{name}': _module(name, source)
    for name, source in (('toy', Toy), ('mute', Mute))
  }
  sys.modules.update(modules)
  yield
  for name in modules:
    del sys.modules[name]


@pytest.fixture(scope='module', autouse=True)
def quick_to_compile(shared_programs):
  """These programs run once: compiling them well takes longer than they do."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(scope='module')
def pretraining():
  """The config of a tiny pretraining run on `toy`."""
  return {
    'seed': 3,
    'steps': 1,
    'model': {
      **recipes.MAE,
      'name': 'mae',
      'dim': 16,
      'depth': 3,
      'mlp': 32,
      'heads': 2,
      'frames': T,
      'height': H,
      'width': W,
      'patch': (2, 8, 8),
      'output_patch': (4, 8, 8),
      'mask_ratio': 0.5,
    },
    'data': {
      'batch_size': 8,
      'seed': 0,
      'sources': {'toy': {'name': 'toy', 'weight': 1.0}},
      'keys': ('video',),
      'shuffle': True,
      'workers': 0,
      'stalled_sec': 60.0,
      'remote': {},
      'max_bad': 1e-3,
    },
    'optim': OPTIM | {'lr': 1e-3},
    'step': STEP,
    'skips': SKIPS,
    'health': HEALTH,
    'mesh': {'replica': 8, 'fsdp': 1, 'tensor': 1},
    'init_from': {'path': '', 'at': '', 'step': -1, 'ema': False},
    'init_parts': {},
    'compile': {'keep': False, 'options': {}},
    'checkpoint': {'every': 1, 'keep': 3, 'keep_every': None},
    'eval': {'every': 0, 'batches': 1, 'pictures': 0, 'workers': 0},
    'log': LOG,
    'watchdog': {'tell_sec': 60.0, 'limit_sec': 3600.0},
  }


# Config of a pretraining run -> its folder and parameters.
_TRAINED = {}


@pytest.fixture(scope='module')
def trained(pretraining, tmp_path_factory):
  """A pretraining run of one step: (its folder, its parameters).

  Modules whose config is the same have a copy each of one.
  """
  key = json.dumps(pretraining, sort_keys=True)
  if key not in _TRAINED:
    first = tmp_path_factory.mktemp('trained')
    objective = objective_lib.make(**pretraining['model'])
    state = loop.run(pretraining, objective, str(first))
    _TRAINED[key] = first, jax.device_get(state.params)
  first, params = _TRAINED[key]
  folder = tmp_path_factory.mktemp('run')
  shutil.copytree(first, folder, dirs_exist_ok=True)
  return folder, jax.tree.map(np.copy, params)


@pytest.fixture(scope='module')
def run(trained):
  """The folder of that run, finished."""
  return trained[0]


@pytest.fixture(scope='module')
def pretrained(trained):
  """The parameters it ended with."""
  return trained[1]


@pytest.fixture(scope='module')
def recipe(pretraining):
  """The config of a tiny readout of it."""
  return {
    'seed': 5,
    'steps': 3,
    'lrs': (1e-2,),
    'weight_decays': (),
    'finetune': 0.0,
    'layer_decay': 1.0,
    'tasks': {'depth': readouts.options('depth', start=3.0, width=16, heads=2)},
    'features': {'depth': 0.95, 'feature_dtype': 'float32'},
    'feature_cache': '',
    'test_sources': {},
    'data': {
      **pretraining['data'],
      'sources': {'toy': {'name': 'toy', 'weight': 1.0}},
    },
    'optim': OPTIM | {'weight_decay': 0.1, 'decay': ('.*',)},
    'step': STEP | {'freeze': ('backbone/.*',)},
    'skips': SKIPS,
    'health': HEALTH,
    'mesh': pretraining['mesh'],
    'init_from': pretraining['init_from'],
    'init_parts': {},
    'compile': {'keep': False, 'options': {}},
    'checkpoint': {'every': 3, 'keep': 3, 'keep_every': None},
    'eval': {'every': 0, 'batches': 1, 'pictures': 0, 'workers': 0},
    'log': LOG,
    'watchdog': {'tell_sec': 60.0, 'limit_sec': 3600.0},
  }


@pytest.fixture(scope='module')
def train(run, recipe, tmp_path_factory):
  """(result, final parameters) of a job with changes to the recipe."""

  def train(out=None, **changes):
    states = []
    loop_run = loop.run

    def watched(*args, **options):
      states.append(loop_run(*args, **options))
      return states[-1]

    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(evaluate.loop, 'run', watched)
      result = evaluate.run(
        {**recipe, **changes},
        checkpoint=str(run),
        workdir=str(out or tmp_path_factory.mktemp('out')),
      )
    return result, jax.device_get(states[0].params)

  return train
