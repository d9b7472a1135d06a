"""Small files: read with what is wrong named, written whole, one writer.

On etils.epath, so that a path may be one of an object store. There a write is
one object, which is whole by itself; nothing is renamed or appended.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

# Of a disk, or of a user's share of one.
FULL = (errno.ENOSPC, errno.EDQUOT)


def read_json(path: epath.PathLike, kind: type, remedy: str) -> Any:
  """What a file of JSON holds.

  Args:
    path: of the file.
    kind: dict or list, which it must be.
    remedy: what a person can do where it is damaged, as 'copy it again'.

  Raises:
    ValueError: empty, cut off, garbled, or of another kind.
    FileNotFoundError: it is not there.
  """
  path = epath.Path(path)
  text = path.read_bytes()
  try:
    found = json.loads(text)
  except ValueError as error:  # also of bytes that are no UTF-8
    what = f'not JSON ({error})' if text else 'empty'
    raise ValueError(f'{path} is {what}: it is damaged; {remedy}') from error
  if not isinstance(found, kind):
    raise ValueError(
      f'{path} holds a {type(found).__name__}, expected a {kind.__name__}: it '
      f'is damaged, or another file; {remedy}'
    )
  return found


def check_keys(
  found: Mapping[str, Any],
  kinds: Mapping[str, type | tuple[type, ...]],
  path: epath.PathLike,
  remedy: str,
) -> None:
  """Refuses what `read_json` gave, if it lacks what is read of it.

  Args:
    found: what the file at `path` holds.
    kinds: key -> kind that its value must be of; 'a.b' is key b of a.
    path: of the file.
    remedy: see `read_json`.

  Raises:
    ValueError: a key is not there, or its value is of another kind.
  """
  for key, kind in kinds.items():
    value, is_there = found, True
    for part in key.split('.'):
      is_there = isinstance(value, Mapping) and part in value
      value = value[part] if is_there else None
      if not is_there:
        break
    if not is_there or not isinstance(value, kind):
      what = f'holds {value!r:.40} as' if is_there else 'lacks'
      raise ValueError(f'{path} {what} {key!r}: it is damaged; {remedy}')


def write(path: epath.PathLike, content: str | bytes) -> None:
  """Writes a file whole or not at all, over what was there.

  Raises:
    OSError: it cannot be written; a full disk is told with what to do.
  """
  data = content.encode() if isinstance(content, str) else content
  path = epath.Path(path)
  if not is_local(path):
    path.write_bytes(data)
    return
  with replacing(path) as draft:
    draft.write_bytes(data)


@contextlib.contextmanager
def replacing(path: epath.PathLike) -> Iterator[epath.Path]:
  """A file to write inside, which takes the place of `path` afterwards.

  For what is written piece by piece, on a disk. The draft keeps the ending of
  the name, by which some writers choose a format; it is gone if anything goes
  wrong.

  Raises:
    OSError: it cannot be written; a full disk is told with what to do.
  """
  path = epath.Path(path)
  # In containers pids are alike: the host tells two writers apart.
  owner = f'{socket.gethostname()}-{os.getpid()}'
  draft = path.with_name(f'.{path.stem}.{owner}{path.suffix}')
  try:
    yield draft
    draft.replace(path)
  except OSError as error:
    if error.errno in FULL:
      raise full(path) from error
    raise
  finally:
    draft.unlink(missing_ok=True)


def full(path: epath.PathLike) -> OSError:
  """The error to raise where the disk of `path` is full."""
  return OSError(
    errno.ENOSPC,
    'the disk is full: free some space, then run the same command, which goes '
    'on from what is finished',
    os.fspath(path),
  )


@contextlib.contextmanager
def lock(path: epath.PathLike, *, wait: bool = False) -> Iterator[str]:
  """Inside: '' if no other process is inside for this file, else which is.

  The system takes the lock back however a process ends. Between machines it
  holds where the file system has locks (NFS has); where it has none, all are
  let in.

  Args:
    path: of the lock's own file, which is made, and stays.
    wait: for the other process to leave; then it is always ''.

  Raises:
    ValueError: not a file of a disk.
  """
  if not is_local(path):
    raise ValueError(
      f'{path} cannot be locked: expected a folder of a disk, since object '
      'stores have no locks'
    )
  epath.Path(path).parent.mkdir(parents=True, exist_ok=True)
  # Not emptied: it says who holds it.
  with open(path, 'a+') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
      file.seek(0)
      yield file.read().strip() or 'another process'
      return
    except OSError as error:
      if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
        raise
    file.truncate(0)
    file.write(f'process {os.getpid()} of {socket.gethostname()}\n')
    file.flush()
    yield ''


def is_local(path: epath.PathLike) -> bool:
  """Whether it is on a disk of this machine, not in an object store."""
  return '://' not in os.fspath(path)
