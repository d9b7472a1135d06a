"""Copies of objects on this machine, for all its processes, up to a limit.

An object is brought whole, by one process, and proved by the sums that the
store keeps of it. What was used last stays; of a file that goes while a
process reads it the bytes stay until that is closed, as POSIX has it.
"""

import contextlib
import contextvars
import dataclasses
import errno
import functools
import hashlib
import os
import pathlib
import threading
import time
from collections import Counter
from collections.abc import Iterator

from base import console, digests, exits, files, objects
from base.stores import About

_TRIES = 3  # at bytes that are not those of the object
_LOCKS = 256  # files of locks; objects that share one wait for each other
_PARTS = 256  # of the limit, in which a process may fill it without a look
_LOOK_SEC = 0.05  # between looks at a lock that another process has
_MARK = '.draft-'  # of `base.files`


@dataclasses.dataclass(frozen=True)
class Cache:
  """Plain values: cheap to send to another process.

  Attributes:
    folder: of copies; '': scale4d/data in $XDG_CACHE_HOME, or in ~/.cache.
    gb: 1e9 bytes that they may have together.
    stalled_sec: in which a store that is asked must give something.
  """

  folder: str = ''
  gb: int | float = 100.0
  stalled_sec: int | float = 120.0

  def __post_init__(self):
    """Raises ValueError where a value is impossible."""
    if not self.gb > 0:
      raise ValueError(f'data.remote.gb={self.gb} must be above 0')
    if not files.is_local(self.folder):
      raise ValueError(
        f'data.remote.folder={self.folder} is in an object store: give a '
        'folder of this machine'
      )

  @property
  def place(self) -> pathlib.Path:
    """The folder."""
    if self.folder:
      return pathlib.Path(self.folder).expanduser()
    # Commands without a recipe, and workers of Beam, have no other option.
    above = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return pathlib.Path(above).expanduser() / 'scale4d' / 'data'

  def copy(self, url: str, about: About) -> pathlib.Path:
    """Where an object's bytes are, or will be; other bytes are elsewhere."""
    told = [url, about['size'], about['crc32c'], about['md5Hash']]
    name = hashlib.sha256('\n'.join(map(str, told)).encode()).hexdigest()[:24]
    # With its own name, whose ending tells FFmpeg what it may be. Disks count
    # bytes, of which a letter may have four.
    own = os.fsencode(url.rpartition('/')[2])[-100:].decode(errors='ignore')
    return self.place / f'{name}-{own}'

  def fetch(self, url: str, about: About) -> pathlib.Path:
    """The copy, which is brought if it is not here.

    Raises:
      FileNotFoundError: the object is gone.
      base.exits.Unavailable: it cannot be had, or not kept.
    """
    copy, size = self.copy(url, about), about['size']
    lock = int(copy.name[:8], 16) % _LOCKS
    try:
      if not is_there(copy, size):
        file = self.place / 'locks' / f'{lock:03}'
        # Where a file system has no locks, threads share a draft.
        with _threads[lock], self._alone(file, url):
          # Another process may have brought it.
          if not is_there(copy, size):
            self._bring(url, about, copy, functools.partial(_sign, file))
    except OSError as error:
      if error.filename == url:
        raise
      # Of this machine's folder, which is no fault of the file.
      raise exits.Unavailable(self._useless(error)) from error
    return copy

  def check(self) -> None:
    """Whether copies can be kept, before anything is brought.

    Raises:
      ValueError: they cannot.
    """
    try:
      self.place.mkdir(parents=True, exist_ok=True)
      if not os.access(self.place, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
      raise ValueError(self._useless(error)) from error

  def _useless(self, error: OSError) -> str:
    return (
      f'{self.place}, for copies of what lies in an object store, cannot be '
      f'used ({error.strerror or error}): give another data.remote.folder, or '
      'XDG_CACHE_HOME where there is no recipe'
    )

  @contextlib.contextmanager
  def _alone(self, file: pathlib.Path, url: str) -> Iterator[None]:
    """Inside, no other process has the lock; its file shows who is alive.

    Raises:
      base.exits.Unavailable: one has it that is not, as after Ctrl-Z.
    """
    quiet, before = 0.0, -1.0
    while True:
      with files.lock(file) as held_by:
        if not held_by:
          yield
          return
      now = file.stat().st_mtime
      quiet = 0.0 if now != before else quiet + _LOOK_SEC
      if quiet >= self.stalled_sec:
        raise exits.Unavailable(
          f'{url}: {held_by} is to bring it, or another object, and has not '
          f'come on for {console.duration(quiet)}: let it go on, or end it; '
          'the same command goes on'
        )
      before = now
      # Who waits for it is alive.
      heard()
      time.sleep(_LOOK_SEC)

  def _bring(
    self, url: str, about: About, copy: pathlib.Path, sign: objects.Heard
  ) -> None:
    size = about['size']
    if size > self.gb * 1e9:
      raise exits.Unavailable(
        f'{url} has {size / 1e9:.3g} GB, and copies may have data.remote.gb='
        f'{self.gb:g}: raise it'
      )
    _tell_again(url, self.gb)
    try:
      with self._room(size), files.replacing(copy) as draft:
        for _ in range(_TRIES):
          try:
            objects.bring(url, size, os.fspath(draft), self.stalled_sec, sign)
          except FileNotFoundError as error:
            raise missing(url) from error
          found = digests.of_file(os.fspath(draft))
          if digests.same(digests.of_object(about), found):
            _brought.add(url)
            return
        raise exits.Unavailable(
          f'{url}: what came is not what the store said that it has ({size} '
          f'bytes, CRC-32C {about["crc32c"]}), {_TRIES} times: it was written '
          'since, or is damaged on the way; the same command goes on'
        )
    except OSError as error:
      if error.errno not in files.FULL:
        raise
      raise exits.Unavailable(
        f'the disk of {self.place}, for copies of {url} and others, is full: '
        f'free some space, lower data.remote.gb={self.gb:g}, or give another '
        'data.remote.folder'
      ) from error

  @contextlib.contextmanager
  def _room(self, size: int) -> Iterator[None]:
    """Inside, so many bytes may come."""
    most, place = int(self.gb * 1e9), self.place
    with _turn:
      # A sixteenth is for what other processes bring meanwhile.
      own = most - most // 16
      _turn.wait_for(lambda: not _coming[place] or _coming[place] + size <= own)
      _coming[place] += size
      _left[place] -= size
      if _left[place] < 0:
        total = self._remove(own - _coming[place])
        spare = most - total - _coming[place]
        _left[place] = max(0, min(most // _PARTS, spare))
    try:
      yield
    finally:
      with _turn:
        _coming[place] -= size
        _turn.notify_all()

  def _remove(self, most: int) -> int:
    """Removes what was used longest ago, if there is more than `most`."""
    found = []
    with os.scandir(self.place) as there:
      for each in there:
        with contextlib.suppress(FileNotFoundError):
          if each.is_file():
            about = each.stat()
            found.append((about.st_mtime, about.st_size, each.path))
    total = sum(size for _, size, _ in found)
    for used, size, path in sorted(found):
      if total <= most:
        break
      # What a killed process left is a draft to which nothing is added.
      written = _MARK in path and time.time() - used < 2 * self.stalled_sec
      if not written and files.remove_unused(path):
        total -= size
    return total


def is_there(copy: pathlib.Path, size: int | None = None) -> bool:
  """Whether there is a copy, which is then the one that was used last.

  Args:
    copy: its path.
    size: its bytes, if they are to be looked at: where a machine lost its power
      a file may be there without them.
  """
  try:
    os.utime(copy)
    return size is None or os.stat(copy).st_size == size
  except FileNotFoundError:
    return False


def heard() -> None:
  """Says that a store is waited for: see `heard_by`."""
  _heard[-1]()


def _sign(file: pathlib.Path) -> None:
  """Says the same, also to processes that wait for this one's lock."""
  with contextlib.suppress(FileNotFoundError):
    os.utime(file)
  heard()


def missing(url: str) -> FileNotFoundError:
  """The error of an object that is not there."""
  return FileNotFoundError(errno.ENOENT, 'no such object', url)


# Bytes that this process may still bring to a folder without looking at it, and
# those that it brings now.
_left: Counter[pathlib.Path] = Counter()
_coming: Counter[pathlib.Path] = Counter()
_turn = threading.Condition()
_threads = [threading.Lock() for _ in range(_LOCKS)]
_brought: set[str] = set()
_heard: list[objects.Heard] = [lambda: None]
_now: contextvars.ContextVar[Cache | None] = contextvars.ContextVar(
  'cache', default=None
)


def _tell_again(url: str, gb: int | float) -> None:
  """Says it once where what is needed again was removed."""
  if url in _brought and None not in _brought:
    _brought.add(None)
    console.say(
      f'{url} is brought again: the files that are needed do not fit into '
      f'data.remote.gb={gb:g}, which costs time; raise it, or copy them to a '
      'disk'
    )


@contextlib.contextmanager
def cached(**options) -> Iterator[None]:
  """Inside, paths that are made keep copies as these options of `Cache` say."""
  token = _now.set(Cache(**options))
  try:
    yield
  finally:
    _now.reset(token)


def current() -> Cache:
  """That of `cached`, or one by default."""
  return _now.get() or Cache()


def heard_by(call: objects.Heard) -> None:
  """Has this process call it, from now on, while a store is waited for.

  A store has a limit of its own: who waits for it is not stalled.
  """
  _heard.append(call)
