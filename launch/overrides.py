"""A recipe with overrides, read as the command does that is given them."""

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from base import command


def recipe(words: Sequence[str]) -> str:
  """What --config is; '' if it is not there."""
  found = ''
  for word, behind in zip(words, [*words[1:], '']):
    if word.startswith('--config='):
      found = word.removeprefix('--config=')
    elif word == '--config':
      found = behind
  return found


def resolved(words: Sequence[str]) -> dict[str, Any]:
  """The plain values of a recipe with overrides, as its command reads them.

  Args:
    words: --config=RECIPE, --config.section.option=value, ...; a value may be a
      word of its own.

  Raises:
    ValueError: an option that the recipe does not have; the nearest is named.
  """
  path = recipe(words).partition(':')[0]
  if not pathlib.Path(path).is_file():
    raise ValueError(f'{path} is no file: expected a recipe')
  argv = ['', *words]
  values = flags.FlagValues()
  config_flags.DEFINE_config_file(
    'config', None, flag_values=values, sys_argv=argv
  )
  try:
    values(argv)
  except (flags.Error, AttributeError, KeyError) as error:
    said, _ = command.refusal(error)
    if not said:
      raise
    raise ValueError(said) from error
  return values.config.to_dict()
