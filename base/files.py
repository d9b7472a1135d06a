"""Small files: read, written whole, one writer.

A path may be one of an object store, see `base/stores.py`: there a write is one
object, which is whole by itself; nothing is renamed.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from typing import IO

from etils import epath

from base import claim, stores
from base.stores import is_local

# Of a disk, or of a user's share of one.
FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_SAID = (
  'the disk is full: free some space, then run the same command, which goes on '
  'from what is finished'
)
_DRAFT = '.draft-'  # in the names of files that are being written


def path(name: epath.PathLike) -> epath.Path:
  """Where a file or folder is, wherever the program goes on to work.

  Args:
    name: as a user gave it: of a disk, or of an object store.

  Raises:
    ValueError: an object store that is not known, or cannot be reached without
      more packages.
  """
  if is_local(name):
    return epath.Path(os.path.abspath(name))
  stores.check(name)
  return epath.Path(os.fspath(name).rstrip('/'))


def exists(path: epath.PathLike) -> bool:
  """Whether there is a file or a folder.

  Raises:
    OSError: an object store does not tell, which is not the same as no.
  """
  return os.path.exists(path) if is_local(path) else stores.exists(path)


def is_folder(path: epath.PathLike) -> bool:
  """Whether there is a folder; in an object store none is empty."""
  return os.path.isdir(path) if is_local(path) else stores.is_folder(path)


def names(folder: epath.PathLike) -> list[str]:
  """What is in a folder, sorted; nothing where there is none."""
  if not is_local(folder):
    return stores.names(folder)
  return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def remove(path: epath.PathLike) -> None:
  """Removes a file, if it is there."""
  if not is_local(path):
    stores.remove(path)
    return
  with contextlib.suppress(FileNotFoundError):
    os.remove(path)


def remove_folder(path: epath.PathLike) -> None:
  """Removes a folder and all in it, if it is there."""
  if not is_local(path):
    stores.remove_folder(path)
    return
  with contextlib.suppress(FileNotFoundError):
    shutil.rmtree(path)


def read_bytes(path: epath.PathLike) -> bytes:
  """All of a file, of one version of it.

  Raises:
    FileNotFoundError: it is not there.
  """
  if not is_local(path):
    return stores.read(path)
  with open(path, 'rb') as file:
    return file.read()


def write(path: epath.PathLike, content: str | bytes) -> None:
  """Writes a file whole or not at all, over what was there.

  Raises:
    OSError: it cannot be written; a full disk is told with what to do.
  """
  data = content.encode() if isinstance(content, str) else content
  if not is_local(path):
    stores.write(path, data)
    return
  with replacing(path) as draft:
    draft.write_bytes(data)


def append(path: epath.PathLike, text: str) -> None:
  """Adds to the end of a small file; see `base/mirror.py` for one that grows.

  In an object store the whole of it is written again.
  """
  if is_local(path):
    with open(path, 'a') as file:
      file.write(text)
    return
  try:
    before = stores.read(path)
  except FileNotFoundError:
    before = b''
  stores.write(path, before + text.encode())


@contextlib.contextmanager
def replacing(path: epath.PathLike) -> Iterator[epath.Path]:
  """A file to write inside, which takes the place of `path` afterwards.

  For what is written piece by piece. The draft is on a disk, and keeps the
  ending of the name, by which some writers choose a format; it is gone if
  anything goes wrong. What a killed process leaves, `remove_drafts` removes.

  Raises:
    OSError: it cannot be written; a full disk is told with what to do.
  """
  path = epath.Path(path)
  if not is_local(path):
    with tempfile.TemporaryDirectory(prefix='scale4d-') as folder:
      draft = epath.Path(folder) / path.name
      yield draft
      stores.write(path, draft.read_bytes())
    return
  # In containers pids are alike: the host tells two writers apart.
  owner = f'{socket.gethostname()}-{os.getpid()}'
  draft = path.with_name(f'.{path.stem}{_DRAFT}{owner}{path.suffix}')
  try:
    with naming_full(path):
      yield draft
      draft.replace(path)
  except OSError as error:
    if error.filename == os.fspath(draft):  # which nobody asked for
      error.filename = os.fspath(path)
    raise
  finally:
    draft.unlink(missing_ok=True)


def make_folder(
  path: epath.PathLike, option: str, *, stores_too: bool = False
) -> None:
  """Makes a folder that a user named, and those above it, if need be.

  Args:
    path: of the folder.
    option: by which it was given, as '--workdir'.
    stores_too: whether it may be in an object store, where there is nothing to
      make. Where files are locked, mapped into memory or appended to it cannot.

  Raises:
    ValueError: it, or one above it, is a file; or it is in an object store
      where it cannot be.
  """
  given = f'{option}={os.fspath(path)}'
  if not is_local(path):
    if not stores_too:
      raise ValueError(
        f'{given} is in an object store, expected a folder of a disk: choose '
        'one, or mount the bucket'
      )
    stores.check(path)
    if stores.exists(path) and not stores.is_folder(path):
      raise ValueError(f'{given} is a file, expected a folder: choose another')
    return
  check_folder(path, option)
  epath.Path(path).mkdir(parents=True, exist_ok=True)


def check_folder(path: epath.PathLike, option: str) -> None:
  """Whether a path can be a folder of this machine: nothing is made.

  Args:
    path: of the folder; of one in an object store nothing is asked.
    option: by which it was given, as '--workdir'.

  Raises:
    ValueError: it, or one above it, is a file.
  """
  if not is_local(path):
    return
  folder = epath.Path(path)
  for above in (folder, *folder.parents):
    if above.exists() and not above.is_dir():
      raise ValueError(
        f'{option}={os.fspath(path)}: {above} is a file, expected a folder: '
        'choose another'
      )


def make_parents(path: epath.PathLike) -> None:
  """Makes the folders that a file is in; in an object store none is made."""
  if is_local(path):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)


def is_draft(name: str) -> bool:
  """Whether a file in a folder is one that is being written, or was."""
  return name.startswith('.') and _DRAFT in name


def remove_drafts(folder: epath.PathLike) -> None:
  """Removes what killed writers left, where no other writes: hold a `lock`.

  In an object store nothing is left: drafts are on this machine.
  """
  if not is_local(folder):
    return
  for draft in epath.Path(folder).glob(f'.*{_DRAFT}*'):
    draft.unlink(missing_ok=True)


@contextlib.contextmanager
def naming_full(path: epath.PathLike) -> Iterator[None]:
  """Inside, a full disk is told with a path of it, and what to do.

  Raises:
    OSError: it is full.
  """
  try:
    yield
  except (OSError, RuntimeError) as error:
    if isinstance(error, OSError):
      # In other words than the system's it is told already.
      is_new = error.errno in FULL and error.strerror == os.strerror(
        error.errno
      )
    else:
      # Libraries in C++ tell it in their message alone.
      is_new = os.strerror(errno.ENOSPC) in str(error)
    if is_new:
      raise full(path) from error
    raise


def full(path: epath.PathLike) -> OSError:
  """The error to raise where the disk of `path` is full."""
  return OSError(errno.ENOSPC, _FULL_SAID, os.fspath(path))


@contextlib.contextmanager
def lock(
  path: epath.PathLike, *, wait: bool = False, sure: bool = False
) -> Iterator[str]:
  """Inside: '' if no other process is inside for this file, else which is.

  On a disk the system takes the lock back however a process ends. Between
  machines it holds where the file system has locks (NFS has); where it has
  none, all are let in. In an object store it is an object that is renewed, see
  `base/claim.py`.

  Args:
    path: of the lock's own file, which is made, and on a disk stays.
    wait: for the other process to leave; then it is always ''.
    sure: in an object store, where only time can tell whether a process of
      another machine is still there, wait until it can, up to two minutes, and
      say so; otherwise it is taken to be there.
  """
  if not is_local(path):
    with claim.held(path, wait=wait, sure=sure) as held_by:
      yield held_by
    return
  epath.Path(path).parent.mkdir(parents=True, exist_ok=True)
  # Not emptied: it says who holds it.
  with open(path, 'a+') as file:
    try:
      _flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
      file.seek(0)
      yield file.read().strip() or 'another process'
      return
    file.truncate(0)
    file.write(f'process {os.getpid()} of {socket.gethostname()}\n')
    file.flush()
    yield ''


def _flock(file: IO, how: int) -> None:
  """Locks an open file where its file system has locks.

  Raises:
    BlockingIOError: asked not to wait, and another process has it.
  """
  try:
    fcntl.flock(file, how)
  except OSError as error:
    if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
      raise


@contextlib.contextmanager
def in_use(path: epath.PathLike) -> Iterator[None]:
  """Inside, `remove_unused` of any process of this machine leaves a file.

  Raises:
    FileNotFoundError: it is not there, or was just removed.
  """
  with open(path, 'rb') as file:
    _flock(file, fcntl.LOCK_SH)
    if not os.fstat(file.fileno()).st_nlink:
      raise FileNotFoundError(
        errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path)
      )
    yield


def remove_unused(path: epath.PathLike) -> bool:
  """Removes a file of a disk unless it is `in_use`; whether it is gone."""
  try:
    # To be written, though it is not: NFS locks nothing else for one alone.
    with open(path, 'r+b') as file:
      _flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      os.remove(path)
  except FileNotFoundError:
    return True
  except (BlockingIOError, PermissionError):
    return False
  return True


def check_lock(path: epath.PathLike) -> None:
  """To be asked before what only the holder of a `lock` may do.

  Raises:
    RuntimeError: another process has taken it, which can happen in an object
      store to one that was stopped for minutes.
  """
  claim.check(path)
