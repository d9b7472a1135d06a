"""Objects of a store for who reads many: listed, and brought to a disk.

A store that does not answer is told after half of a limit; then it is given
up, also where its connection stays open.
"""

import os
from collections.abc import Callable, Coroutine
from concurrent import futures
from typing import Any

from etils import epath

from base import console, exits, files, stores
from base.stores import About

_LARGE = 10**8  # bytes, from which gcsfs reads several parts at a time
_TICKS = 20  # looks at what is waited for within the limit
_NO_BUCKET = 'there is no such bucket: correct its name, or make it'
_met: set[str] = set()  # buckets of which it is known that they are there


Heard = Callable[[], object]


class _Silent(Exception):
  """Nothing has come within the limit."""


def _nobody() -> None:
  """Hears nothing."""


def entries(
  folder: epath.PathLike, limit_sec: float, heard: Heard = _nobody
) -> dict[str, About | None]:
  """What is in a folder, not below it, by name; None for a folder.

  Nothing, where there is none.

  Args:
    folder: of a store.
    limit_sec: in which it must answer; so below.
    heard: called again and again while it is waited for; so below.

  Raises:
    FileNotFoundError: there is no such bucket.
    base.exits.Unavailable: it does not, or refuses.
  """
  own = _own(folder)
  try:
    found = _waited(
      folder,
      lambda system: system._ls(own, detail=True, refresh=True),
      limit_sec,
      heard,
    )
  except FileNotFoundError:
    _meet(folder, limit_sec, heard)
    return {}
  # A folder that was made by hand is an object too, and in its own list.
  return {
    each['name'].rstrip('/').rpartition('/')[2]: (
      None if each['type'] == 'directory' else stores.about_of(each)
    )
    for each in found
    if each['name'].rstrip('/') != own
  }


def below(
  folder: epath.PathLike, limit_sec: float, heard: Heard = _nobody
) -> dict[str, About]:
  """All objects below a folder, by their names from there on; see `entries`.

  Raises:
    FileNotFoundError: there is no such bucket.
  """
  own = _own(folder)
  try:
    found = _waited(
      folder, lambda system: system._find(own, detail=True), limit_sec, heard
    )
  except FileNotFoundError as error:
    raise _no_bucket(folder) from error
  return stores.told(own, found)


def about(
  path: epath.PathLike, limit_sec: float, heard: Heard = _nobody
) -> About | None:
  """What a store says of an object; None where there is none, or a folder.

  Raises:
    FileNotFoundError: there is no such bucket.
    base.exits.Unavailable: it does not answer, or refuses.
  """
  own = _own(path)
  try:
    found = _waited(path, lambda system: system._info(own), limit_sec, heard)
  except FileNotFoundError:
    _meet(path, limit_sec, heard)
    return None
  return None if found['type'] == 'directory' else stores.about_of(found)


def bring(
  path: epath.PathLike,
  size: int,
  target: str,
  limit_sec: float,
  heard: Heard = _nobody,
) -> None:
  """Writes an object to a file of this machine; it may have been cut off.

  Args:
    path: of the object.
    size: its bytes.
    target: the file.
    limit_sec: in which some of it must come, again and again.
    heard: see `entries`.

  Raises:
    FileNotFoundError: there is none.
    base.exits.Unavailable: it does not come, or is refused.
    OSError: the disk is full.
  """
  from fsspec.callbacks import Callback

  own, came = _own(path), Callback()
  # Of a small one gcsfs would ask how large it is, which is one more request.
  how = {} if size > _LARGE else {'concurrency': 1}
  _waited(
    path,
    lambda system: system._get_file(own, target, callback=came, **how),
    *(limit_sec, heard, lambda: came.value),
  )


def _meet(path: epath.PathLike, limit_sec: float, heard: Heard) -> None:
  """Asks once whether a path's bucket is there, in which nothing was found."""
  bucket = _own(path).partition('/')[0]
  if bucket in _met:
    return
  try:
    # Who may read objects may list them; to ask for the bucket is another role.
    _waited(
      *(path, lambda system: system._ls(bucket, max_results=1)),
      *(limit_sec, heard),
    )
  except FileNotFoundError as error:
    raise _no_bucket(path) from error
  _met.add(bucket)


def _no_bucket(path: epath.PathLike) -> FileNotFoundError:
  # As a text alone: with a number, who shows it has the path at the end.
  return FileNotFoundError(f'{os.fspath(path)}: {_NO_BUCKET}')


def _own(path: epath.PathLike) -> str:
  return os.fspath(path).rstrip('/').partition('://')[2]


def _waited(
  path: epath.PathLike,
  work: Callable[[Any], Coroutine],
  limit: float,
  heard: Heard,
  count: Callable[[], Any] = lambda: 0,
) -> Any:
  """What `work` makes of a file system; `count` tells how far it is."""
  import asyncio  # where there is no store, nobody needs it

  try:
    with stores.using(path) as system:
      coming = asyncio.run_coroutine_threadsafe(work(system), system.loop)
      return _result(coming, os.fspath(path), limit, heard, count)
  except FileNotFoundError:
    raise
  except _Silent as error:
    raise exits.Unavailable(
      f'{os.fspath(path)}: nothing came for {console.duration(limit)}: look at '
      'the network and the store, or raise config.data.stalled_sec='
      f'{limit:g}; the same command goes on'
    ) from error
  except OSError as error:
    behind = error.__cause__
    if isinstance(behind, OSError) and behind.errno in files.FULL:
      raise behind from None
    raise exits.Unavailable(
      f'{os.fspath(path)}: {error.strerror or error}; the same command goes on'
    ) from error


def _result(coming: futures.Future, where: str, limit, heard, count) -> Any:
  tick, quiet, before = limit / _TICKS, 0.0, count()
  while True:
    done, _ = futures.wait([coming], timeout=tick)
    if done:
      return coming.result()
    # Ticks are counted, not seconds: while all is held (Ctrl-Z) nothing comes.
    quiet, now = quiet + tick, count()
    heard()
    if now != before:
      quiet, before = 0.0, now
    if quiet >= limit:
      coming.cancel()
      raise _Silent
    if quiet - tick < limit / 2 <= quiet:
      console.say(
        f'{where}: nothing has come for {console.duration(quiet)}; it is given '
        f'up after {console.duration(limit)}'
      )
