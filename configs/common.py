"""What recipes share: the sections of `training`, and how arguments are read.

Optimizer, checkpoints, evaluation and logs of every recipe start here.
"""

import pathlib
from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import config_dict

from base import jsons
from base.names import choose

# Layouts on slices of pods, {recipe: {topology: {'section.option': value}}}.
# `python -m launch.plan.search --save` writes them. Those here are to start
# from, not the best of a search: FSDP's shards hold 16 rows or more of every
# kernel; S and MooG, which fit a chip many times, are replicated.
LAYOUTS = pathlib.Path(__file__).with_name('layouts.json')

# Of reading one example; ours. A disk of a network may take as long, once.
STALLED_SEC = 120.0

# Copies of files of object stores on this machine: '' is ~/.cache/scale4d/data,
# and a few hundred shards fit any host of a pod. Ours.
REMOTE = {'folder': '', 'gb': 100.0}

# Keys of a source that are no option of its make().
_OURS = ('name', 'weight', 'keys', 'split')


def parse(arg: str | None, *, sources: Collection[str] = (), **defaults):
  """The options in `arg`, 'key=value,key=value', over `defaults`.

  Each value is cast to the type of its default; a boolean is 'true' or
  'false'.

  Args:
    arg: what is behind the colon.
    sources: keys that name a source of data. 'data.path=DIR' is an option of
      the source that `data` names; all of them are in the result as 'data.',
      as text, for which options there are only the source knows.
    **defaults: all other keys.

  Raises:
    ValueError: an unknown key (the nearest known one is named), no '=', or a
      value that is not of its default's type.
  """
  options = dict(defaults) | {f'{key}.': {} for key in sources}
  for item in (arg or '').split(','):
    if not item:
      continue
    key, equals, value = item.partition('=')
    if not equals:
      raise ValueError(
        f'config argument {item!r} has no value: write {item}=VALUE'
      )
    owner, dot, option = key.partition('.')
    if dot and owner in sources:
      if option in _OURS or not option:
        raise ValueError(
          f'config argument {key!r} is not an option of a source: leave it out'
        )
      options[f'{owner}.'][option] = value
      continue
    choose('config argument', key, defaults)
    options[key] = _cast(key, value, type(defaults[key]))
  return options


def layouts() -> dict[str, dict[str, dict[str, Any]]]:
  """What LAYOUTS holds.

  Raises:
    ValueError: it is damaged.
  """
  return jsons.read(LAYOUTS, dict, 'take it from git again')


def with_layout(
  config: Mapping[str, Any], recipe: str, topology: str, batch_size: int
) -> dict[str, Any]:
  """The config with the options that LAYOUTS has for a slice.

  Args:
    config: sections of plain values.
    recipe: as 'mae.j' or 'moog.movi_e'.
    topology: as 'v5p:8x8x8'; '': the config as it is.
    batch_size: instead of the layout's or the config's; 0: that.

  Raises:
    ValueError: no layout of this recipe on this slice was saved.
  """
  changes = {}
  if topology:
    known = layouts().get(recipe, {})
    if topology not in known:
      raise ValueError(
        f'no layout of {recipe} on {topology!r}: known are '
        f'{", ".join(known) or "none"}. Look for one with `python -m '
        f'launch.plan.search --config=... --topology={topology} --save`, where '
        'the recipe has no topology= yet, or give config.mesh.'
      )
    changes |= known[topology]
  if batch_size:
    changes['data.batch_size'] = batch_size
  return with_changes(config, changes)


def with_changes(
  config: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
  """The config with some values replaced: 'section.name' -> value."""
  changed = dict(config)
  for key, value in changes.items():
    section, name = key.split('.')
    changed[section] = {**changed[section], name: value}
  return changed


def number(key: str, value: str, kind: type = float):
  """`value` as a number.

  Raises:
    ValueError: it is not one.
  """
  try:
    return kind(value)
  except ValueError:
    raise ValueError(
      f'{key}={value!r} must be of type {kind.__name__}'
    ) from None


def _cast(key, value, kind):
  if kind is bool:
    if value not in ('true', 'false'):
      raise ValueError(f"{key}={value!r} must be 'true' or 'false'")
    return value == 'true'
  return number(key, value, kind)


def training(
  *,
  lr: float,
  warmup_fraction: float,
  every: int,
  log_every: int,
  health_every: int,
  eval_batches: int = 4,
) -> dict:
  """The sections that recipes have in common, which change what is published.

  4DS's optimizer is not public (ours): what MAE (arXiv 2111.06377, appendix
  A.1) and the group's MooG and RVM have in common, and where they differ, MAE.

  Args:
    lr: peak learning rate.
    warmup_fraction: of the steps: linear warm-up from 0.
    every: steps between checkpoints, and between evaluations.
    log_every: steps between logged scalars.
    health_every: steps between looks at features and layers; 0: none.
    eval_batches: of the validation loss.
  """
  return {
    'optim': {
      'name': 'adamw',  # MAE, MooG, RVM
      'lr': lr,
      'schedule': 'cosine',  # MAE, MooG, RVM
      # Of `steps`, as the rest of the schedule is: a tenth of a run has the
      # same curve.
      'warmup_fraction': warmup_fraction,
      'extensions': (),  # what was trained on longer, see docs/training.md
      'final_lr': 0.0,  # MAE; MooG ends at 1e-7
      'b1': 0.9,  # MAE, and MooG, which leaves optax's
      'b2': 0.95,  # MAE, MooG
      'weight_decay': 0.05,  # MAE; MooG 1e-4
      'decay': (r'.*/kernel',),  # ours: no biases, norms and embeddings
      'clip_norm': 1.0,  # MooG
      # Half of it would save 1% of a chip's memory and a sixth of a checkpoint
      # of e (docs/pods.md).
      'moment_dtype': 'float32',
      # mup: `lr` is that of a model `base_width` wide, and transfers.
      'parametrisation': 'standard',
      'base_width': 0,
    },
    # Whether 4DS averages parameters is not public: it is off.
    'step': {
      'accumulate': 1,
      'ema': 0.0,
      'freeze': (),
      'skip': (),
      # Off: what is finite may be learned from, and clip_norm bounds it.
      'outlier': 0.0,
    },
    # Ours: a batch here and there is bad luck, more is a run that diverges.
    'skips': {'most': 10, 'within': 1000},
    # Shards of all chips there are, which fits any of them.
    'mesh': {'replica': 1, 'fsdp': -1, 'tensor': 1, 'sequence': 1},
    'init_from': {
      'path': '',
      'at': '',
      'step': -1,  # the last
      'ema': False,
      'resize': False,
    },
    'init_parts': {},
    # A restart on a machine without a compilation cache takes a third of the
    # time: measured, docs/training.md.
    'compile': {'keep': True, 'options': {}},
    # All ours. JAX's own 5 minutes to start are less than hosts of a pod may
    # differ by, and so is what a collective waits, than a compilation of j.
    'processes': {
      'start_sec': 900,
      'silent_sec': 100,  # JAX's
      'meet_sec': 3600,
    },
    # A step, a batch, a save, a restore or a compilation of no recipe takes as
    # long. A minute is when a person looks.
    'watchdog': {'tell_sec': 60.0, 'limit_sec': 3600.0},
    'checkpoint': {
      'every': every,
      'keep': 3,  # ours
      'keep_every': config_dict.placeholder(int),
    },
    'eval': {
      'every': every,
      'batches': eval_batches,
      'pictures': 4,  # ours: clips that are drawn
      'workers': 0,  # a few batches are read in this process
    },
    # All ours. Ranks of clips are below the number of clips; what each costs is
    # in docs/training.md. A spike is as large as where `step.outlier` would
    # leave an update out.
    'health': {'every': health_every, 'clips': 8, 'spike': 4.0},
    'log': {
      'every': log_every,
      'tensorboard': True,
      'wandb': 'disabled',
      'wandb_project': 'scale4d',
      'wandb_group': '',  # a sweep's runs have its name
    },
  }
