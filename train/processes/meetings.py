"""Processes of a run wait for one another, and say for whom."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import jax

# There is no public way to the service by which processes know of one another.
from jax._src.distributed import global_state

from base.console import duration

# Seconds between two lines on what is waited for: the first within the minute
# in which a person looks.
_BETWEEN_LINES = 30.0
# Keys of JAX's service: the host of each process, who has come where, and what
# they agree on.
_HOSTS = 'scale4d/hosts/'
_MEETINGS = 'scale4d/meetings/'
_WORDS = 'scale4d/words/'
_PLACES = 'scale4d/places/'
_meet_sec = 0
_met: dict[str, int] = {}


def within(seconds: int) -> None:
  """From here on all must come to a meeting within so many seconds."""
  global _meet_sec
  _meet_sec = seconds


def sign() -> None:
  """Tells the others on which host this process is."""
  global_state.client.key_value_set(
    f'{_HOSTS}{jax.process_index()}', socket.gethostname()
  )


def meet(what: str) -> None:
  """Returns when all processes are here; nothing where there is one.

  Without it a host that is late, or dead, is noticed only by an operation on
  devices, which names nobody.

  Args:
    what: they are about to do, such as 'restore'; for people.

  Raises:
    TimeoutError: some have not come within `meet_sec`; it names them.
  """
  if jax.process_count() == 1:
    return
  _met[what] = _met.get(what, 0) + 1
  name = f'{what} {_met[what]}'
  client = global_state.client
  client.key_value_set(f'{_MEETINGS}{name}/{jax.process_index()}', '')
  with waiting(
    lambda waited: (
      f'process {jax.process_index()} waits since {duration(waited)} before '
      f'the {what} for {_missing(name)}'
    )
  ):
    try:
      client.wait_at_barrier(f'scale4d {name}', _meet_sec * 1000)
    except jax.errors.JaxRuntimeError as error:
      raise TimeoutError(
        f'{_missing(name)} did not come to the {what} within '
        f'{duration(_meet_sec)} (config.processes.meet_sec): look at the logs '
        'there'
      ) from error


def gather(what: str, mine: str) -> list[str]:
  """A word of each process, in order, on the first one; on others nothing.

  Also by a thread, of all processes at once. The first alone waits.

  Args:
    what: the words are about, such as 'samples'; for people.
    mine: this process's word.

  Raises:
    TimeoutError: a word has not come within `meet_sec`.
  """
  if jax.process_count() == 1:
    return [mine]
  _met[what] = _met.get(what, 0) + 1
  client, place = global_state.client, f'{_WORDS}{what} {_met[what]}'
  if jax.process_index():
    client.key_value_set(f'{place}/{jax.process_index()}', mine)
    return []
  words = [mine]
  for process in range(1, jax.process_count()):
    words.append(_word(what, process))
    client.key_value_delete(f'{place}/{process}')  # they may be long
  return words


def agree(what: str, mine: str, decide: Callable[[list[str]], str]) -> str:
  """What the first process decides from a word of each; the same on all.

  Also by a thread, of all processes at once.

  Args:
    what: is decided, such as 'digests of step 6'; for people.
    mine: this process's word.
    decide: words, in the order of processes -> the decision.

  Raises:
    TimeoutError: a word, or the decision, has not come within `meet_sec`.
  """
  words = gather(what, mine)
  if jax.process_index():
    return _word(what, 0)
  decision = decide(words)
  if jax.process_count() > 1:
    place = f'{_WORDS}{what} {_met[what]}'
    global_state.client.key_value_set(f'{place}/0', decision)
  return decision


def _word(what: str, process: int) -> str:
  """What another process says; waits for it."""
  place = f'{_WORDS}{what} {_met[what]}/{process}'
  try:
    return global_state.client.blocking_key_value_get(place, _meet_sec * 1000)
  except jax.errors.JaxRuntimeError as error:
    raise TimeoutError(
      f'no word of process {process} on the {what} within '
      f'{duration(_meet_sec)} (config.processes.meet_sec): look at the logs '
      'there'
    ) from error


def stuck_at(place: str) -> list[str]:
  """Tells the others where this process is for long; gives where they are.

  Args:
    place: for people; '': it has come on.

  Returns:
    A line for each other process that has told so.
  """
  client, mine = global_state.client, f'{_PLACES}{jax.process_index()}'
  if jax.process_count() == 1 or client is None:  # alone, or parted
    return []
  try:
    if not place:
      client.key_value_delete(mine)
      return []
    client.key_value_set(mine, place, allow_overwrite=True)
    told = client.key_value_dir_get(_PLACES)
  except jax.errors.JaxRuntimeError as error:
    return [f'the service of process 0 does not answer: {error}']
  return [line for key, line in told if key != mine]


def _missing(name: str) -> str:
  """'process 1 on host-b' and so on, of those that are not at a meeting."""
  client = global_state.client
  came = {
    int(key.rpartition('/')[2])
    for key, _ in client.key_value_dir_get(f'{_MEETINGS}{name}/')
  }
  host = {
    int(key.rpartition('/')[2]): value
    for key, value in client.key_value_dir_get(_HOSTS)
  }
  late = [k for k in range(jax.process_count()) if k not in came]
  if not late:
    return 'the service of process 0'
  named = [f'process {k} on {host.get(k, "an unknown host")}' for k in late]
  more = f' and {len(named) - 8} more' if len(named) > 8 else ''
  return ', '.join(named[:8]) + more


@contextlib.contextmanager
def waiting(line: Callable[[float], str]) -> Iterator[None]:
  """Inside, a thread prints now and then what is waited for.

  Args:
    line: seconds of waiting -> what to print.
  """
  over = threading.Event()
  start = time.monotonic()

  def speak():
    while not over.wait(_BETWEEN_LINES):
      # Not by `say`, which is muted in all processes but the first.
      print(line(time.monotonic() - start), flush=True)

  thread = threading.Thread(target=speak, name='waiting', daemon=True)
  thread.start()
  try:
    yield
  finally:
    over.set()
    thread.join()
