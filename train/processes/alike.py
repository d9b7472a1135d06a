"""All processes of a run compute the same thing, or none does.

One that was started with another value, or runs other code, would make others
wait in an operation that it does not come to, or train something else with
them, without a word.
"""

import hashlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from train import processes
from train import workdir as workdir_lib

# What a compiler, or JAX, is told beside the config.
_VARIABLES = ('XLA_FLAGS', 'LIBTPU_INIT_ARGS')
_SETTINGS = (
  *('jax_enable_x64', 'jax_default_matmul_precision'),
  *('jax_default_prng_impl', 'jax_threefry_partitionable'),
)
_MOST = 5  # differences that are told


def check(config: Mapping[str, Any]) -> None:
  """Compares what this process was started with to that of the first one.

  Args:
    config: resolved.

  Raises:
    ValueError: in all processes, where something differs: in those that differ
      it names the keys.
  """
  if jax.process_count() == 1:
    return
  mine = _flat(config)
  text = json.dumps(mine, sort_keys=True)
  digest = hashlib.sha256(text.encode()).hexdigest()

  def differing(words: Sequence[str]) -> str:
    others = [k for k, word in enumerate(words) if word != words[0]]
    return json.dumps([others, mine]) if others else ''

  answer = processes.agree('config and environment', digest, differing)
  if not answer:
    return
  others, first = json.loads(answer)
  if jax.process_index() not in others:
    raise ValueError(
      f'{len(others)} of {jax.process_count()} processes have another config '
      f'or environment than process 0, the first of them process {others[0]}: '
      'their logs name the keys. Start the same command, with the same code '
      'and packages, on every host'
    )
  raise ValueError(
    f'process {jax.process_index()} on {socket.gethostname()} differs from '
    f'process 0: {described(first, mine)}. Start the same command, with the '
    'same code and packages, on every host'
  )


def described(first: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
  """The keys that differ, with both values."""
  keys = [
    key
    for key in sorted(first.keys() | mine.keys())
    if first.get(key) != mine.get(key)
  ]
  told = [
    f'{key} is {mine.get(key, "absent")!r} here, {first.get(key, "absent")!r} '
    'there'
    for key in keys[:_MOST]
  ]
  more = f' and {len(keys) - _MOST} more' if len(keys) > _MOST else ''
  return '; '.join(told) + more


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
  """As JSON has it, which knows no tuples."""
  about = workdir_lib.environment()
  environment = {
    **{key: about[key] for key in ('commit', 'changed', 'python', 'packages')},
    'devices': {key: about['devices'][key] for key in ('platform', 'kind')},
    **{name: os.environ.get(name, '') for name in _VARIABLES},
    **{name: getattr(jax.config, name) for name in _SETTINGS},
  }
  flat = workdir_lib.flatten({'config': config, 'environment': environment})
  return json.loads(json.dumps(flat))
