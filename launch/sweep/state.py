"""What became of a run, in a small file beside its own: RUN/state.json.

Written whole, by the sweep alone. What it says is done, is; what it does not
say may be done all the same, where the sweep was killed before it noted it: the
stage's own files decide (`stages.Stage.is_done`).
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from base import files, jsons
from launch.sweep.runs import Item

_NAME = 'state.json'
_REMEDY = 'remove it: what is finished is then seen in the files beside it'
_KIND = {
  **{'recipe': str, 'overrides': dict, 'done': dict, 'attempts': int},
  **{'restarts': int, 'failed': str, 'job': dict},
}


@dataclasses.dataclass
class State:
  """Of a run.

  Attributes:
    recipe: its --config=.
    overrides: its others.
    done: stage -> seconds that its attempts took, those that were seen to end.
    attempts: starts of any stage.
    restarts: of the present stage, that count.
    failed: why it is not tried again; '' if it is.
    job: what the backend knows the running stage by; empty: none runs.
  """

  recipe: str
  overrides: Mapping[str, Any]
  done: dict[str, float] = dataclasses.field(default_factory=dict)
  attempts: int = 0
  restarts: int = 0
  failed: str = ''
  job: dict[str, Any] = dataclasses.field(default_factory=dict)

  def write(self, folder: str) -> None:
    """Into the run's folder."""
    text = json.dumps(dataclasses.asdict(self), indent=2) + '\n'
    files.write(f'{folder}/{_NAME}', text)


def read(folder: str) -> State | None:
  """That of a run's folder; None: it has none.

  Raises:
    ValueError: it is damaged.
  """
  path = f'{folder}/{_NAME}'
  if not files.exists(path):
    return None
  found = jsons.read(path, _KIND, _REMEDY)
  names = [field.name for field in dataclasses.fields(State)]
  return State(**{name: found[name] for name in names})


def fresh(item: Item) -> State:
  """Of a run that has not begun."""
  return State(item.recipe, dict(item.overrides))


def known(workdir: str) -> dict[str, str]:
  """Identity of each run that has a folder -> its name.

  Raises:
    ValueError: a damaged file.
  """
  found = {}
  for name in files.names(workdir):
    state = read(f'{workdir}/{name}')
    if state is not None:
      item = Item(state.recipe, state.overrides)
      found[item.identity] = name
  return found


def claim(workdir: str, config: str, sweep: str, runs: Sequence[str]) -> None:
  """Writes what the folder is of: DIR/sweep.json.

  Raises:
    ValueError: of another sweep.
  """
  path = f'{workdir}/sweep.json'
  about = {'config': os.path.basename(config.partition(':')[0]), 'sweep': sweep}
  if files.exists(path):
    remedy = 'remove it: it is written again'
    before = jsons.read(path, {'config': str, 'sweep': str}, remedy)
    if any(before[key] != about[key] for key in about):
      raise ValueError(
        f'--workdir={workdir} is of sweep {before["sweep"] or "()"!r} of '
        f'{before["config"]}, not of {about["sweep"] or "()"!r} of '
        f'{about["config"]}: choose another'
      )
  about |= {'runs': list(runs)}
  files.write(path, json.dumps(about, indent=2) + '\n')
