"""Object stores: what can be done there, and what went wrong in plain words.

A write is one object, which is whole by itself, and seen at once by all. There
is no appending, no renaming and no lock; a folder is what names begin with, so
that none is empty and none has a time.
"""

import contextlib
import errno
import functools
import importlib.metadata
import logging
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from etils import epath

# Those that Orbax can write to, and that tests reach.
_PACKAGES = {'gs': ('gcsfs', 'google-cloud-storage')}
_GROUPS = {'gs': 'gcs'}  # of pyproject.toml


def is_local(path: epath.PathLike) -> bool:
  """Whether it is on a disk of this machine, not in an object store."""
  # As it is given, or as pathlib makes it: gs:/bucket/name.
  return not re.match(r'[a-z][a-z0-9+.-]+:/', os.fspath(path), re.IGNORECASE)


def check(path: epath.PathLike) -> None:
  """Whether this machine can reach the store of a path; asks nobody yet.

  Raises:
    ValueError: not a store that is known, no bucket, or packages are missing.
  """
  text = os.fspath(path)
  check_address(text)
  scheme = text.partition('://')[0]
  missing = _prepared(scheme)
  if missing:
    raise ValueError(
      f'{text}: {scheme}:// needs {" and ".join(missing)}: `pip install '
      f'--group {_GROUPS[scheme]}`'
    )


def check_address(text: str) -> None:
  """Whether it can be one in a store, whatever packages are here.

  Raises:
    ValueError: not a store that is known, or no bucket.
  """
  scheme, _, rest = text.partition('://')
  if scheme not in _PACKAGES:
    raise ValueError(f'{text}: expected a folder of a disk or of {_known()}')
  if not rest.strip('/'):
    raise ValueError(f'{text} names no bucket: expected {scheme}://BUCKET/NAME')


def _known() -> str:
  return ', '.join(f'{scheme}://' for scheme in _PACKAGES)


def _is_installed(package: str) -> bool:
  try:
    importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return False
  return True


@functools.cache
def _prepared(scheme: str) -> list[str]:
  """Packages that a store wants and that are not here."""
  # It shows the traceback of what it raises.
  logging.getLogger('gcsfs').setLevel(logging.CRITICAL)
  return [name for name in _PACKAGES[scheme] if not _is_installed(name)]


def read(path: epath.PathLike) -> bytes:
  """All of an object, in one request: never parts of two versions.

  Raises:
    FileNotFoundError: it is not there.
    OSError: it cannot be read.
  """
  with using(path) as system:
    return system.cat_file(os.fspath(path))


def write(path: epath.PathLike, data: bytes, *, only_new: bool = False) -> None:
  """Writes an object, over what was there.

  Args:
    path: of the object.
    data: all of it.
    only_new: leave one that is there.

  Raises:
    FileExistsError: `only_new`, and it is there, where a store can tell.
    OSError: it cannot be written, such as to a bucket that is not there.
  """
  mode = 'create' if only_new else 'overwrite'
  with using(path) as system:
    try:
      system.pipe_file(os.fspath(path), data, mode=mode)
    except FileNotFoundError as error:
      raise FileNotFoundError(
        errno.ENOENT, 'there is no such bucket: make it', os.fspath(path)
      ) from error


def exists(path: epath.PathLike) -> bool:
  """Whether there is an object, or one below that name.

  Raises:
    OSError: nobody can tell, which is not the same as no.
  """
  return _kind(path) != ''


def is_folder(path: epath.PathLike) -> bool:
  """Whether there is an object below that name."""
  return _kind(path) == 'directory'


def _kind(path):
  with using(path) as system:
    try:
      return system.info(os.fspath(path))['type']
    except FileNotFoundError:
      return ''


def names(folder: epath.PathLike) -> list[str]:
  """Of objects and folders in a folder, sorted; none where there is none."""
  own = os.fspath(folder).rstrip('/').partition('://')[2]
  with using(folder) as system:
    try:
      found = system.ls(own, detail=False)
    except FileNotFoundError:
      return []
  # A folder that was made by hand is an object too, and in its own list.
  paths = {path.rstrip('/') for path in found} - {own}
  return sorted(path.rpartition('/')[2] for path in paths)


class About(TypedDict):
  """What a store says of an object: its bytes, and sums of them in base 64."""

  size: int
  crc32c: str
  md5Hash: str  # '' where it has none


def listed(folder: epath.PathLike) -> dict[str, About]:
  """Of all objects below a folder, by their names from there on."""
  own = os.fspath(folder).rstrip('/').partition('://')[2]
  with using(folder) as system:
    found = system.find(own, detail=True)
  return told(own, found)


def told(
  folder: str, found: Mapping[str, Mapping[str, Any]]
) -> dict[str, About]:
  """What fsspec found below a folder, without those made by hand."""
  return {
    path.removeprefix(f'{folder}/'): about_of(about)
    for path, about in found.items()
    if not path.endswith('/')  # a folder that was made by hand
  }


def about_of(found: Mapping[str, Any]) -> About:
  """What fsspec says of an object."""
  return About(
    size=int(found['size']),
    crc32c=found['crc32c'],
    md5Hash=found.get('md5Hash') or '',
  )


def remove(path: epath.PathLike) -> None:
  """Removes an object, if it is there."""
  with using(path) as system, contextlib.suppress(FileNotFoundError):
    system.rm_file(os.fspath(path))


def remove_folder(path: epath.PathLike) -> None:
  """Removes all objects below a name, if there are any."""
  with using(path) as system, contextlib.suppress(FileNotFoundError):
    system.rm(os.fspath(path), recursive=True)


@contextlib.contextmanager
def using(path: epath.PathLike) -> Iterator[Any]:
  """fsspec's file system, the one that epath and Orbax take too.

  Inside, what libraries raise becomes an OSError that names the path.
  """
  check(path)
  import fsspec

  where = os.fspath(path)
  try:
    yield fsspec.filesystem('gcs', finalize_on_close=True)
  except (FileNotFoundError, FileExistsError):
    raise
  except _refusals() as error:
    said = ' '.join(str(error).split()) or type(error).__name__
    code = str(getattr(error, 'code', ''))
    if said.startswith('Forbidden') or code in ('401', '403'):
      raise PermissionError(
        errno.EACCES,
        f'not allowed ({said}): log in with `gcloud auth application-default '
        'login`, or give the account of this machine the role Storage Object '
        'Admin',
        where,
      ) from error
    raise OSError(
      errno.EIO, f'the object store cannot be used ({said})', where
    ) from error


def _refusals() -> tuple[type[Exception], ...]:
  """What is raised where a store, or the way to it, does not do as asked."""
  import aiohttp
  import google.auth.exceptions
  from gcsfs import retry

  return (
    *(retry.HttpError, retry.ChecksumError, aiohttp.ClientError),
    *(google.auth.exceptions.GoogleAuthError, OSError, TimeoutError),
    ValueError,  # gcsfs' of a bad request
  )
