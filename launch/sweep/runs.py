"""The runs of a sweep: what a function in `configs/sweeps/*.py` yields."""

import dataclasses
import importlib.util
import inspect
import json
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from base.names import choose

_PLAIN = (bool, int, float, str)


@dataclasses.dataclass(frozen=True)
class Item:
  """One dict that a sweep yields, not named yet.

  Attributes:
    recipe: as --config= of its command has it.
    overrides: 'section.option' -> value; {'run': NAME} stands for the folder of
      another run of the sweep, which is trained first.
    name: that it gives itself; '': none.
    launch: flags of the launcher, for its machines.
    forecast: whether what it will reach is written down before it starts, of
      the runs that are yielded before it, which then are over.
  """

  recipe: str
  overrides: Mapping[str, Any]
  name: str = ''
  launch: str = ''
  forecast: bool = False

  @property
  def identity(self) -> str:
    """What tells it from another: the same text on every day."""
    # Tuples are lists in a file of JSON.
    return json.dumps([self.recipe, self.overrides], sort_keys=True)

  @property
  def after(self) -> list[str]:
    """Names of the runs that it starts from, as it calls them."""
    return [x['run'] for x in self.overrides.values() if _is_run(x)]

  def flags(self, workdir: str) -> list[str]:
    """Of its training command, in a sweep whose folder is `workdir`."""
    flags = [f'--config={self.recipe}']
    for key, value in self.overrides.items():
      said = f'{workdir}/{value["run"]}' if _is_run(value) else value
      flags.append(f'--config.{key}={said}')
    return flags


def read(config: str, sweep: str) -> list[Item]:
  """The runs that a sweep yields.

  Args:
    config: 'configs/sweeps/x.py', or with an argument for the function behind a
      colon.
    sweep: 'x' of `sweep_x()`; '' of `sweep()`.

  Raises:
    ValueError: no such sweep, or it yields what is no run.
    FileNotFoundError: no such file.
  """
  made_by, arguments = function(config, sweep, 'sweep')
  yielded = made_by(*arguments)
  if not isinstance(yielded, Iterable):
    raise ValueError(
      f'{made_by.__name__}() of {config} returns {yielded!r}, expected that it '
      'yields dicts'
    )
  items = [
    item(made, f'run {number} of {made_by.__name__}()')
    for number, made in enumerate(yielded, 1)
  ]
  if not items:
    raise ValueError(f'{made_by.__name__}() of {config} yields no run')
  return items


def function(config: str, name: str, kind: str) -> tuple[Callable, list[str]]:
  """A function of a file, and the argument that it is given, if any.

  Args:
    config: as in `read`.
    name: 'x' of `sweep_x()`; '' of `sweep()`.
    kind: 'sweep', or 'search' of `search_x(trial)`.

  Raises:
    ValueError: no such function, or it takes no argument.
    FileNotFoundError: no such file.
  """
  path, colon, argument = config.partition(':')
  functions = _functions(path, kind)
  if not functions:
    raise ValueError(
      f'--config={path} has no {kind}(): expected functions {kind}() or '
      f'{kind}_NAME(), as in configs/sweeps/scaling.py'
    )
  if name not in functions and not name:
    raise ValueError(
      f'{path} has no {kind}(): give --{kind}=, one of {", ".join(functions)}'
    )
  found = functions[choose(f'{kind} in --{kind}', name, functions)]
  takes = len(inspect.signature(found).parameters) - (kind == 'search')
  if colon and takes < 1:
    raise ValueError(
      f'--config={config}: {found.__name__}() takes no argument: leave out '
      f':{argument}'
    )
  return found, [argument] * bool(colon)


def _functions(path: str, kind: str) -> dict[str, Callable]:
  """Those of a file that are of a kind, by what a flag calls them."""
  if not pathlib.Path(path).is_file():
    raise ValueError(f'--config={path} is no file: expected a sweep')
  # Not by name: it may lie anywhere, as a recipe may.
  spec = importlib.util.spec_from_file_location('sweep', path)
  if spec is None:
    raise ValueError(f'--config={path}: expected a file of Python')
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except SyntaxError as error:
    raise ValueError(
      f'{error.filename}, line {error.lineno}: {error.msg}'
    ) from error
  return {
    name.removeprefix(kind).removeprefix('_'): value
    for name, value in vars(module).items()
    if inspect.isfunction(value) and (name + '_').startswith(f'{kind}_')
  }


def item(made: Any, what: str) -> Item:
  """A run, of the dict that a function made.

  Args:
    made: the recipe under 'config', perhaps 'name', 'launch', 'forecast', and
      overrides, see `Item`.
    what: it is, for the error.

  Raises:
    ValueError: it is no such dict.
  """
  if not isinstance(made, Mapping):
    raise ValueError(
      f'{what} is a {type(made).__name__}, expected a dict of overrides'
    )
  overrides = dict(made)
  recipe, name, launch = (
    overrides.pop(key, '') for key in ('config', 'name', 'launch')
  )
  for key, value in (('name', name), ('launch', launch)):
    if not isinstance(value, str):
      raise ValueError(f'{what}: {key}={value!r} must be a text')
  forecast = overrides.pop('forecast', False)
  if not isinstance(forecast, bool):
    raise ValueError(
      f'{what}: forecast={forecast!r} must be True or False: whether it waits '
      'for those before it, and what it will reach is forecast of them'
    )
  if not recipe or not isinstance(recipe, str):
    raise ValueError(
      f"{what} needs its recipe, as {{'config': 'configs/mae.py:size=S', ...}}"
      f'; got {dict(made)}'
    )
  for key, value in overrides.items():
    if isinstance(key, str) and _is_run(value):
      continue
    parts = value if isinstance(value, (tuple, list)) else [value]
    if not isinstance(key, str) or not all(
      isinstance(x, _PLAIN) for x in parts
    ):
      raise ValueError(
        f'{what}: {key}={value!r} must be a number, a text, a boolean, a tuple '
        "of them, or {'run': NAME}, the folder of a run before it"
      )
  return Item(recipe, overrides, name, launch, forecast)


def _is_run(value: Any) -> bool:
  return (
    isinstance(value, Mapping)
    and list(value) == ['run']
    and isinstance(value['run'], str)
  )
