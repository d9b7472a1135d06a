"""From flags to the runs of a sweep, all of which can work."""

import shlex
from collections.abc import Mapping, Sequence
from concurrent import futures
from typing import Any

from base import console
from evals import is_readout
from launch import checks, overrides
from launch.sweep import entry, naming, stages
from launch.sweep import state as state_lib
from launch.sweep.backends import Backend
from launch.sweep.entry import Entry
from launch.sweep.runs import Item

_GROUP = 'log.wandb_group'


def make(
  items: Sequence[Item],
  *,
  workdir: str,
  readouts: Sequence[str],
  more: Sequence[str],
  cache: str,
  retry: bool,
) -> list[Entry]:
  """The runs of a sweep, as far as they are.

  Args:
    items: what the sweep yields.
    workdir: the sweep's folder.
    readouts: recipes of readouts after each run, as --config= has them.
    more: overrides of all runs, '--config.section.option=value'.
    cache: of compiled programs.
    retry: whether to forget that runs have failed.

  Raises:
    ValueError: one of them cannot work; nothing was started or written.
  """
  for word in more:
    if not word.startswith('--config.') or '=' not in word:
      raise ValueError(
        f'{word} behind --: expected overrides of all runs, such as '
        '--config.log.wandb=offline'
      )
  known = state_lib.known(workdir)
  named = naming.named(items, known)
  _check_order(named)
  group = f'--config.{_GROUP}={workdir.rpartition("/")[2]}'
  configs, words = {}, {}
  for name, item in named.items():
    # In front, so that another group may be given.
    words[name] = [group, *more]
    configs[name] = _resolved(
      f'run {name}', [*item.flags(workdir), *words[name]]
    )
    if is_readout(configs[name]):
      raise ValueError(
        f'run {name}: {item.recipe} is a recipe of readouts, expected one of '
        'pretraining; readouts are given by --readouts'
      )
  heads = {recipe: _readout(recipe) for recipe in readouts}
  runs = '1 run' if len(named) == 1 else f'{len(named)} runs'
  console.say(f'checking {runs} ...')
  costs = checks.costs(configs, list(heads.values()))
  lost = set(known.values()) - named.keys()
  if lost:
    console.say(
      f'{workdir} also holds {", ".join(sorted(lost))}, which the sweep does '
      'not yield: left as they are'
    )
  entries: dict[str, Entry] = {}
  for name, item in named.items():
    folder = f'{workdir}/{name}'
    entries[name] = entry.of(
      name,
      folder,
      stages.of(
        folder,
        item,
        config=configs[name],
        more=words[name],
        readouts=heads,
        workdir=workdir,
        cache=cache,
      ),
      item,
      costs[name],
      after=[entries[other] for other in item.after],
    )
  if retry:
    for each in entries.values():
      each.state.failed, each.state.restarts = '', 0
  return list(entries.values())


def check(entries: Sequence[Entry], backend: Backend) -> None:
  """Whether each can be started where it is to run; what is over is not asked.

  Raises:
    ValueError: one cannot; it is named.
  """
  left = [x for x in entries if not (x.is_over or x.is_running)]
  # Of launchers elsewhere each check is a process, which takes a while.
  with futures.ThreadPoolExecutor(4) as pool:
    pending = [
      pool.submit(backend.check, each.stage, name=each.name) for each in left
    ]
    for each, checked in zip(left, pending):
      try:
        checked.result()
      except ValueError as error:
        pool.shutdown(cancel_futures=True)
        raise ValueError(f'run {each.name}: {error}') from error


def commands(entries: Sequence[Entry], backend: Backend) -> str:
  """What would be started, one under the other."""
  return '\n'.join(
    line
    for each in entries
    for line in (
      f'# {each.name}: {each.cost.parameters:,} parameters, '
      f'{each.cost.flops:.2e} FLOPs' + ', done' * (each.stage is None),
      *(
        shlex.join(backend.words(stage, name=each.name))
        for stage in each.stages
      ),
    )
  )


def _check_order(named: Mapping[str, Item]) -> None:
  """Whether what runs start from is yielded before them."""
  before: list[str] = []
  for name, item in named.items():
    for other in item.after:
      if other not in before:
        raise ValueError(
          f"run {name}: {{'run': {other!r}}} is no run that is yielded before "
          f'it; got {", ".join(before) or "none"}'
        )
    before.append(name)


def _readout(recipe: str) -> Mapping[str, Any]:
  values = _resolved(f'--readouts={recipe}', [f'--config={recipe}'])
  if not is_readout(values):
    raise ValueError(
      f'--readouts={recipe} is a recipe of pretraining, expected one of '
      'readouts, as configs/readout.py:task=depth,data=world'
    )
  return values


def _resolved(what: str, words: Sequence[str]) -> dict[str, Any]:
  try:
    return overrides.resolved(words)
  except ValueError as error:
    raise ValueError(f'{what}: {error}') from error
