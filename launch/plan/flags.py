"""Flags of the planner's commands: the recipe, and where it would run."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from etils import epath
from ml_collections import config_flags

from base import files
from configs.common import with_changes
from evals import is_readout

CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'A recipe: configs/FILE.py:KEY=VALUE,...'
)
BACKBONE = config_flags.DEFINE_config_file(
  'backbone', None, 'The pretraining recipe whose backbone --config reads.'
)
TOPOLOGY = flags.DEFINE_string(
  'topology',
  None,
  'Slice of a pod: v4:4x4x4, v5e:8x8, v5p:8x8x8, v6e:16x16; 2xv5e:8x8 are two '
  'slices, with replicas across them.',
)
CHECKPOINT = flags.DEFINE_string(
  'checkpoint', None, 'A run whose backbone --config reads, for --backbone.'
)
COMPILER_OPTIONS = flags.DEFINE_list(
  'compiler_options',
  [],
  'NAME=VALUE,... over config.compile.options and those of train/chips.py.',
)
REQUIRED = ('config', 'topology')

# The functions below define flags for the command that calls them.
flags.disclaim_key_flags()


def show() -> None:
  """`--help` of the command that calls it has these flags as its own."""
  for flag in (CONFIG, BACKBONE, CHECKPOINT, TOPOLOGY, COMPILER_OPTIONS):
    flags.declare_key_flag(flag.name)


def shapes_only() -> tuple[flags.FlagHolder[bool], flags.FlagHolder[float]]:
  """Of a command that can do without the compiler: --assumed_mfu comes too."""
  return (
    flags.DEFINE_bool(
      'shapes_only', False, 'Compile nothing: seconds in place of minutes.'
    ),
    flags.DEFINE_float(
      'assumed_mfu', 0.4, 'Of a plan that compiles nothing.', lower_bound=1e-3
    ),
  )


def output(name: str, what: str) -> flags.FlagHolder[str]:
  """Of a file that is written in the end."""
  return flags.DEFINE_string(name, None, what)


def check_output(flag: flags.FlagHolder[str]) -> None:
  """To be called before minutes of work whose result could not be written.

  Raises:
    ValueError: its folder is not there, or not to be written to.
  """
  path = flag.value
  if path and files.is_local(path):
    folder = epath.Path(path).parent
    if not os.access(folder, os.W_OK) or os.path.isdir(path):
      raise ValueError(
        f'--{flag.name}={path} cannot be written: expected a file in a folder '
        'that is there and can be written to; make one, or choose another'
      )


def one_slice():
  """The `Topology` of a command that is of one.

  Raises:
    ValueError: several, or none that can be rented.
  """
  from launch.plan import topology

  name = TOPOLOGY.value
  if ',' in name:
    raise ValueError(
      f'--topology={name}: expected one slice; several are for `python -m '
      'launch.plan.compare`'
    )
  return topology.parse(name)


def recipe() -> dict[str, Any]:
  """What is to be planned: a pretraining recipe, or one of readouts.

  Raises:
    ValueError: flags that do not fit together, or are none.
  """
  from launch import recipe as recipe_lib

  config, backbone = CONFIG.value.to_dict(), BACKBONE.value
  checkpoint = CHECKPOINT.value
  if bool(backbone) + bool(checkpoint) != is_readout(config):
    raise ValueError(
      '--backbone and a readout recipe as --config go together: give '
      '--config=configs/readout.py:... --backbone=configs/mae.py:... (or '
      '--checkpoint=RUN), or a pretraining recipe alone'
    )
  if backbone:
    config = recipe_lib.of_readouts(config, backbone.to_dict())
  elif checkpoint:
    from evals import resolve

    backbone = resolve.read_config(checkpoint)
    config = recipe_lib.of_readouts(config, backbone)
  return with_options(config, COMPILER_OPTIONS.value)


def with_options(
  config: Mapping[str, Any], items: Sequence[str]
) -> dict[str, Any]:
  """The config with options of the compiler over its own.

  True and False are booleans, the rest is text: some options that look like
  booleans have a third value, and want 'true'.

  Args:
    config: plain values of a recipe.
    items: NAME=VALUE.

  Raises:
    ValueError: an item is not NAME=VALUE.
  """
  found = dict(config['compile']['options'])
  for item in items:
    name, equals, value = item.partition('=')
    if not (name and equals):
      raise ValueError(f'--compiler_options: {item!r} must be NAME=VALUE')
    found[name] = {'True': True, 'False': False}.get(value, value)
  return with_changes(config, {'compile.options': found})
