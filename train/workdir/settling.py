"""Whether a folder may be of a config, and what was changed of its run."""

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from base import files
from base.console import say
from train.workdir import contents, identity


class Asked(NamedTuple):
  """What a start asks of a run that has begun, beyond going on."""

  allow: Sequence[str] = ()  # values, or sections, that may differ from before
  longer: str = ''  # what the rate does of a run that is given more steps
  back_to: int = -1  # step of a checkpoint, behind which all is lost; -1: none


GO_ON = Asked()


def settle(
  workdir: str,
  config: Mapping[str, Any],
  *,
  name: str = 'config.json',
  anew: bool = True,
  asked: Asked = GO_ON,
  fingerprint: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
  """Writes the resolved config into the folder, if it may be of this config.

  What differs from before, and was allowed, or that the run was taken back, is
  a new entry of its 'history': the time, the step from which it holds, and
  what was changed, {key: [before, after]}.

  Args:
    workdir: the folder, made if need be.
    config: resolved.
    name: of the file.
    anew: whether another config may take the folder where nothing was computed
      yet, such as after an option that cannot work.
    asked: of a run that has begun.
    fingerprint: {split: {label: that of the source}}, as far as the caller
      knows; the file keeps it.

  Raises:
    ValueError: the folder belongs to a run of another config or of other data,
      or lacks its config or the step that it is to go back to.
  """
  files.make_folder(workdir, '--workdir', stores_too=True)
  path = files.path(workdir) / name
  now = json.loads(json.dumps(config))
  known, history = dict(fingerprint or {}), []
  if name == 'config.json' and not files.exists(path):
    _check_new(workdir)
  if files.exists(path):
    before = contents.read_config(workdir, name=name)
    data = contents.read_fingerprint(workdir, name=name)
    changed = identity.changes(before, now)
    changed |= identity.other_data(data, known)
    known = {**data, **known}
    refused = identity.refused(
      changed, asked.allow, {**now, 'fingerprint': known}
    )
    if not anew or contents.has_begun(workdir):
      _check(workdir, changed, refused)
      for each in identity.moved(before, now):
        say(f'{each}: it is not read again, the run has begun')
      history = contents.read_history(workdir, name=name)
      history += _continued(workdir, changed, history, asked.back_to)
    elif changed:
      say(
        f'{workdir} was claimed by another config '
        f'({identity.described(changed, changed)}), which saved nothing there: '
        'it begins anew'
      )
  if jax.process_index() == 0:
    files.write(
      path, json.dumps(contents.with_ours(now, known, history), indent=2)
    )


def _check_new(workdir: str) -> None:
  """Refuses a folder that has lost its config.json."""
  steps = contents.steps(workdir)
  if steps:
    raise ValueError(
      f'--workdir={workdir} has checkpoints ({steps}) and no config.json: of '
      'what run they are cannot be told. Put a copy back; the command of the '
      'run, given another --workdir, writes one there'
    )


def _check(
  workdir: str, changed: Mapping[str, tuple], refused: Sequence[str]
) -> None:
  """Refuses what was changed and not allowed to."""
  if changed and contents.is_done(workdir):
    differs = identity.described(changed, changed)
    raise ValueError(
      f'--workdir={workdir} holds the result of another config ({differs}): '
      'choose another --workdir, or set these back'
    )
  if refused:
    raise ValueError(
      f'--workdir={workdir} holds a run of another config '
      f'({identity.described(changed, refused)}): choose another --workdir, or '
      'set these back. To train on from its parameters, set '
      'config.init_from.path; to go on in this folder with the new values, add '
      f'--allow={",".join(refused)}.'
    )


def _continued(
  workdir: str, changed: Mapping[str, tuple], history: list, back_to: int
) -> list[dict[str, Any]]:
  """The entry of the history of this start, if there is something to tell."""
  steps = contents.steps(workdir)
  new = {'changed': {key: list(pair) for key, pair in changed.items()}}
  new = new if changed else {}
  # The command of a start is that of all its restarts.
  again = bool(history) and history[-1].get('back_to') == back_to
  if back_to >= 0 and again and not changed:
    say(
      f'{workdir} was taken back to step {back_to} already, at '
      f'{history[-1]["time"]}: it goes on'
    )
  elif back_to >= 0:
    if back_to not in steps:
      raise ValueError(
        f'--back_to={back_to}: {workdir} has no checkpoint of that step, but '
        f'{steps}'
      )
    new |= {'back_to': back_to, 'back_from': steps[-1]}
    _remove_after(workdir, back_to, steps)
    steps = [step for step in steps if step <= back_to]
  if not new:
    return []
  time = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
  start = steps[-1] if steps else 0
  told = identity.described(changed, changed)
  say(f'{workdir} goes on from step {start}{f" with {told}" if told else ""}')
  return [{'time': time, 'step': start, **new}]


def _remove_after(workdir: str, step: int, steps: Sequence[int]) -> None:
  """Removes the checkpoints behind a step: a run goes on from its last one.

  Raises:
    ValueError: someone reads one of them, or that step is damaged.
  """
  # They import this package.
  from train import retention
  from train.checkpoint import proof

  if jax.process_index():
    return
  folder = f'{files.path(workdir)}/checkpoints/{step}'
  damage = proof.judge_share(folder, 0, 1)
  if damage not in ('', proof.UNPROVEN):
    raise ValueError(
      f'--back_to={step}: {folder} is damaged: {damage}: choose another step'
    )
  later = [each for each in steps if each > step]
  read = sorted(retention.pinned(workdir) & set(later))
  if read:
    raise ValueError(
      f'--back_to={step}: step {read[0]} of {workdir} is being read, by a '
      'readout job or a watch: stop that first'
    )
  # From the last: what a kill leaves is still the end of the run, which the
  # same command takes back again.
  for each in reversed(later):
    folder = files.path(workdir) / 'checkpoints' / str(each)
    files.remove(folder / contents.COMMITTED)
    files.remove_folder(folder)
    say(f'{folder} is removed')
