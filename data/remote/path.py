"""Paths of files that are read, whatever they lie in."""

import contextlib
import dataclasses
import fnmatch
import functools
import io
import os
import pathlib
import types
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any

from base import console, digests, files, objects
from base.stores import About
from data.remote.cache import Cache, current, heard, is_there, missing

_NAMES = 10**6  # in lists, which are half a gigabyte
_THREADS = 16  # that ask a store at once


class Lists:
  """What folders of a store hold, as it told once; not sent to others."""

  def __init__(self):
    self.folders: dict[str, dict[str, About | None]] = {}
    self.objects: dict[str, About | None] = {}

  def add(self, folder: str, found: dict[str, About | None]) -> None:
    """Of the last folders; of all of them it would be the memory."""
    self.folders[folder] = found
    names = sum(map(len, self.folders.values()))
    while names > _NAMES and len(self.folders) > 1:
      names -= len(self.folders.pop(next(iter(self.folders))))

  def __reduce__(self):
    return Lists, ()


@dataclasses.dataclass(frozen=True, order=True)
class Remote:
  """A file or folder of an object store; the words are those of pathlib.

  What a folder holds is asked once, for all paths that were made of one `path`.

  Raises:
    base.exits.Unavailable: by all that ask the store, if it does not answer.
  """

  text: str  # gs://BUCKET/NAME
  top: str = dataclasses.field(compare=False, repr=False)
  cache: Cache = dataclasses.field(compare=False, repr=False)
  lists: Lists = dataclasses.field(compare=False, repr=False)

  def __str__(self) -> str:
    return self.text

  def __fspath__(self) -> str:
    return self.text

  def __truediv__(self, name: 'str | os.PathLike') -> 'Remote':
    # '' and '.' are the folder itself.
    below = pathlib.PurePosixPath(name).as_posix()
    return self if below == '.' else self._at(f'{self.text}/{below}')

  def _at(self, text: str) -> 'Remote':
    return dataclasses.replace(self, text=text)

  @property
  def _limit(self) -> tuple[float, objects.Heard]:
    return self.cache.stalled_sec, heard

  @property
  def _pure(self) -> pathlib.PurePosixPath:
    return pathlib.PurePosixPath(self.text.partition('://')[2])

  @property
  def name(self) -> str:
    """The last part."""
    return self._pure.name

  @property
  def stem(self) -> str:
    """The last part without its ending."""
    return self._pure.stem

  @property
  def suffix(self) -> str:
    """The ending of the last part."""
    return self._pure.suffix

  @property
  def parent(self) -> 'Remote':
    """The folder that it is in."""
    return self._at(self.text.rpartition('/')[0])

  def relative_to(self, folder: 'Remote') -> pathlib.PurePosixPath:
    """Its parts from a folder on, that it is below."""
    return self._pure.relative_to(folder._pure)

  def entries(self) -> dict[str, About | None]:
    """What is in the folder, by name; None: a folder."""
    known = self.lists.folders
    if self.text not in known:
      found = objects.entries(self.text, *self._limit)
      self.lists.add(self.text, found)
    return known[self.text]

  def about(self) -> About | None:
    """What the store says of the file; None if it is none."""
    above, _, name = self.text.rpartition('/')
    if above in self.lists.folders:
      return self.lists.folders[above].get(name)
    known = self.lists.objects
    if self.text not in known:
      known[self.text] = objects.about(self.text, *self._limit)
    return known[self.text]

  def is_file(self) -> bool:
    """Whether there is such a file."""
    # Others will be asked for beside it: one list is for all of them.
    if self.text != self.top and self.text not in self.lists.objects:
      self.parent.entries()
    return self.about() is not None

  def is_dir(self) -> bool:
    """Whether there is such a folder, which is never empty."""
    above, _, name = self.text.rpartition('/')
    if above in self.lists.folders:
      there = self.lists.folders[above]
      return name in there and there[name] is None
    return bool(self.entries())

  def exists(self) -> bool:
    """Whether there is such a file or folder."""
    return self.is_file() or self.is_dir()

  def stat(self) -> types.SimpleNamespace:
    """Of a file: st_size.

    Raises:
      FileNotFoundError: there is none.
    """
    about = self.about()
    if about is None:
      raise missing(self.text)
    return types.SimpleNamespace(st_size=about['size'])

  def iterdir(self) -> Iterator['Remote']:
    """What is in the folder."""
    return (self / name for name in self.entries())

  def glob(self, pattern: str) -> Iterator['Remote']:
    """What matches in one folder: only the last part may have wildcards."""
    above, _, last = pattern.rpartition('/')
    folder = self / above
    names = fnmatch.filter(folder.entries(), last)
    return (folder / name for name in sorted(names))

  def rglob(self, pattern: str) -> Iterator['Remote']:
    """Files of the folder and all below it whose name matches."""
    found = objects.below(self.text, *self._limit)
    for name, about in sorted(found.items()):
      file = self._at(f'{self.text}/{name}')
      self.lists.objects[file.text] = about
      if fnmatch.fnmatchcase(file.name, pattern):
        yield file

  def fetch(self) -> pathlib.Path:
    """Its copy on this machine, which may go at any time: see `local`.

    Raises:
      FileNotFoundError: it is not there.
    """
    about = self.about()
    if about is None:
      raise missing(self.text)
    return self.cache.fetch(self.text, about)

  def forget(self) -> None:
    """Removes the copy, if there is one that no other process reads."""
    if about := self._known():
      files.remove_unused(self.cache.copy(self.text, about))

  def mend(self) -> bool:
    """Removes a copy whose bytes have changed since; whether there was one."""
    about = self._known()
    if not about:
      return False
    copy = self.cache.copy(self.text, about)
    found = digests.of_file(os.fspath(copy))
    is_whole = digests.same(digests.of_object(about), found)
    if 'error' not in found and is_whole:  # or there is none
      return False
    console.say(
      f'{copy}, a copy of {self.text}, was changed by this machine or its '
      'disk: it is brought again'
    )
    return files.remove_unused(copy)

  def _known(self) -> About | None:
    """As `about`, if it was asked for before."""
    above, _, name = self.text.rpartition('/')
    listed = self.lists.folders.get(above, {}).get(name)
    return listed or self.lists.objects.get(self.text)

  def open(self, mode: str = 'r', **options: Any) -> io.IOBase:
    """Its copy, opened to be read."""
    with local(self) as copy:
      return copy.open(mode, **options)

  def read_bytes(self) -> bytes:
    """All of it."""
    with local(self) as copy:
      return copy.read_bytes()

  def read_text(self, encoding: str | None = None) -> str:
    """All of it."""
    with local(self) as copy:
      return copy.read_text(encoding)


Path = pathlib.Path | Remote


def path(*names: str | os.PathLike) -> Path:
  """Where a file or folder of data is, to be read.

  Args:
    *names: as a user gave them: one below the other, unless it is absolute or
      in a store; `~` is a user's home.

  Raises:
    ValueError: a store that is not known, or cannot be reached without more
      packages; or no place for copies.
  """
  # Behind `=`, as in data=~/DATA, no shell has done it.
  names = tuple(
    os.path.expanduser(name) if files.is_local(name) else name for name in names
  )
  last = max(
    (n for n, name in enumerate(names) if not files.is_local(name)), default=-1
  )
  if last < 0:
    return pathlib.Path(*names)
  below = pathlib.PurePosixPath(*names[last + 1 :])
  if below.is_absolute():
    return pathlib.Path(below)
  if isinstance(names[last], Remote):
    return names[last] / below
  top, cache = os.fspath(files.path(names[last])), current()
  cache.check()
  return Remote(top, top, cache, Lists()) / below


@contextlib.contextmanager
def local(file: Path) -> Iterator[pathlib.Path]:
  """Inside, the file is on this machine; what is opened then stays readable.

  Raises:
    FileNotFoundError: of one in a store, that it is not there.
  """
  if isinstance(file, pathlib.Path):
    yield file
    return
  with contextlib.ExitStack() as used:
    while True:
      copy = file.fetch()
      try:
        used.enter_context(files.in_use(copy))
        break
      except FileNotFoundError:
        pass  # another process needed the room
    yield copy


@contextlib.contextmanager
def once(file: Path) -> Iterator[None]:
  """Inside, a file is read that nobody needs again: then its copy goes."""
  try:
    yield
  finally:
    if isinstance(file, Remote):
      file.forget()


def mend(read: Iterable[Path]) -> bool:
  """Whether a file had a damaged copy, which is gone: it may be read again."""
  # Each of them, not up to the first.
  return sum(file.mend() for file in read if isinstance(file, Remote)) > 0


def bring(wanted: Iterable[Path]) -> None:
  """Brings files of a store to this machine, many at once."""
  wanted = [file for file in wanted if isinstance(file, Remote)]
  if not wanted:
    return
  with futures.ThreadPoolExecutor(_THREADS, 'bring') as threads:
    for _ in threads.map(Remote.fetch, wanted):
      pass


def files_below(folder: Path) -> Iterator[Path]:
  """All files of a folder and of those below it, links followed."""
  if isinstance(folder, Remote):
    yield from folder.rglob('*')
    return
  for place, _, names in os.walk(folder, followlinks=True):
    yield from (pathlib.Path(place) / name for name in names)


def kept_open(most: int) -> Callable:
  """Decorates (file of this machine, ...) -> reader: readers are used again.

  It is then given a `Path`. Of files in a store, those whose copy is gone are
  closed, so that their bytes are gone too, when another is opened.

  Args:
    most: readers that are open in a process.
  """

  def decorate(open_: Callable) -> Callable:
    on_disk = functools.lru_cache(most)(open_)
    opened: OrderedDict[tuple, tuple[pathlib.Path, int, Any]] = OrderedDict()

    @functools.wraps(open_)
    def get(file: Path, *more: Any) -> Any:
      if isinstance(file, pathlib.Path):
        return on_disk(file, *more)
      key = file, *more
      copy, inode, reader = opened.get(key, (None, 0, None))
      # Another process may have brought it again.
      if copy is not None and is_there(copy) and copy.stat().st_ino == inode:
        opened.move_to_end(key)
        return reader
      for each, (copy, *_) in list(opened.items()):
        if not copy.exists():
          del opened[each]
      with local(file) as copy:
        opened[key] = copy, copy.stat().st_ino, open_(copy, *more)
      if len(opened) > most:
        opened.popitem(last=False)
      return opened[key][2]

    # As of any cached function, of files of a disk.
    get.cache_clear, get.cache_info = on_disk.cache_clear, on_disk.cache_info
    return get

  return decorate
