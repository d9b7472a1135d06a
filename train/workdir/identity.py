"""What a run computes, told from where things lie and how it is watched."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from base.names import did_you_mean

# Config keys that may change between the starts of one run: they decide where,
# how it is watched and what it survives, not what it computes.
NEUTRAL = (
  *('checkpoint', 'compile', 'eval', 'health', 'log', 'mesh', 'processes'),
  *('data.workers', 'data.stalled_sec', 'data.max_bad', 'data.remote'),
  *('skips', 'watchdog'),
  # The checkpoint that a backbone is of is known by when it was saved.
  *('backbone.run', 'feature_cache'),
)
# The same as patterns. What data are is told by their fingerprint, and a kernel
# computes what another does, as does what is kept for the backward pass.
_PATTERNS = (
  r'(model|tasks)\.(.*\.)?(remat|attention)',
  r'(data\.sources|test_sources)\..*\.(path|cache|cache_workers|fingerprint)',
  # Where lists and folders of a data set are.
  r'(data\.sources|test_sources)\..*\.(images|videos|annotations|names)',
  r'(data\.sources|test_sources)\..*\.(train|validation|test)',
)
# Read at the start of a run alone.
_FIRST = r'init_(from|parts\..*)\.path'
# Keys that there were not always, with the value that says what was done then.
_ADDED = {
  **{'step.skip': [], 'step.outlier': 0.0},
  **{'optim.parametrisation': 'standard', 'optim.base_width': 0},
  **{'weight_decays': [], 'layer_decay': 1.0},
}


def flatten(config: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """{'a': {'b': 1}} -> {'a.b': 1}; an empty mapping stays a value."""
  flat = {}
  for key, value in config.items():
    if isinstance(value, Mapping) and value:
      flat |= flatten(value, f'{prefix}{key}.')
    else:
      flat[f'{prefix}{key}'] = value
  return flat


def changes(
  before: Mapping[str, Any], now: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
  """{key: (then, now)} of what differs in what two configs compute.

  Args:
    before: as config.json has it.
    now: the same of another config.
  """
  before, now = flatten(before), flatten(now)
  before = {k: x for k, x in _ADDED.items() if k in now} | before
  return {
    key: (before.get(key, 'absent'), now.get(key, 'absent'))
    for key in sorted(before.keys() | now.keys())
    if before.get(key) != now.get(key) and not _is_neutral(key)
  }


def other_data(
  before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]
) -> dict[str, tuple[str, str]]:
  """{'fingerprint.split.label': (then, now)} of data that are others."""
  return {
    f'fingerprint.{split}.{label}': (before[split][label], value)
    for split, labels in now.items()
    for label, value in labels.items()
    if before.get(split, {}).get(label, value) != value
  }


def moved(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
  """What is no longer read, and is said to be elsewhere: for people."""
  before, now = flatten(before), flatten(now)
  return [
    f'{key}: {before[key]} there, {value} now'
    for key, value in now.items()
    if re.fullmatch(_FIRST, key) and before.get(key, value) != value
  ]


def refused(
  changed: Mapping[str, Any], allow: Collection[str], known: Mapping[str, Any]
) -> list[str]:
  """Keys that were changed and not allowed to.

  Args:
    changed: by key.
    allow: keys, or sections of them.
    known: a config: what may be allowed.

  Raises:
    ValueError: something is allowed that there is not.
  """
  keys = flatten(known).keys() | changed.keys()
  for name in allow:
    if not any(_within(key, [name]) for key in keys):
      raise ValueError(
        f'--allow={name}: the config has no such value'
        + (did_you_mean(name, keys) or '; config.json of the run has all')
      )
  return [key for key in changed if not _within(key, allow)]


def described(
  changed: Mapping[str, tuple[Any, Any]], keys: Collection[str]
) -> str:
  """Some of what was changed, for people."""
  lines = [f'{k}: {changed[k][0]} there, {changed[k][1]} now' for k in keys]
  more = f' and {len(lines) - 5} more' if len(lines) > 5 else ''
  return '; '.join(lines[:5]) + more


def _is_neutral(key: str) -> bool:
  patterns = (*_PATTERNS, _FIRST)
  return _within(key, NEUTRAL) or any(re.fullmatch(x, key) for x in patterns)


def _within(key: str, names: Collection[str]) -> bool:
  return any(f'{key}.'.startswith(f'{name}.') for name in names)
