"""What files hold, in a few bytes: their sizes and sums.

CRC-32C is what Google's object stores keep of each object: nothing is read for
it there. A CRC tells any flipped bit and any run of up to 32 wrong ones for
sure, other damage but once in four billion; it is no signature. But what ends
with its own CRC-32C, as tensorstore's small files do, has the same one whatever
it holds: so there is a second sum, which a disk and a store do not share.
"""

import base64
import errno
import os
import zlib
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
from etils import epath

from base import files, stores

# Of one file: its 'bytes', its 'crc32c', and its 'crc32' or 'md5'.
Digest = dict[str, int | str]

_BLOCK = 1 << 22  # bytes; of small ones the sums would hold up other threads
_THREADS = 8  # what a disk, or a file system of a network, answers at once


def names(folder: epath.PathLike) -> list[str]:
  """Of all files in a folder and those below it, sorted: 'below/name'."""
  if not files.is_local(folder):
    return sorted(stores.listed(folder))
  return sorted(
    os.path.relpath(os.path.join(above, name), folder)
    for above, _, there in os.walk(folder)
    for name in there
  )


def of(folder: epath.PathLike, wanted: Collection[str]) -> dict[str, Digest]:
  """The digests of files; of one that cannot be read, only the 'error'.

  On a disk they are read by threads, in pieces. In an object store they are
  what it says of its objects, in one list.

  Args:
    folder: that they are in.
    wanted: their names, as `names` has them; one that is not there is left out.
  """
  if not files.is_local(folder):
    there = stores.listed(folder) if wanted else {}
    return {name: of_object(there[name]) for name in wanted if name in there}
  with ThreadPoolExecutor(_THREADS, 'digests') as threads:
    paths = [os.path.join(folder, name) for name in wanted]
    found = dict(zip(wanted, threads.map(of_file, paths)))
  return {name: digest for name, digest in found.items() if digest}


def same(one: Digest, other: Digest) -> bool:
  """Whether two digests are of the same bytes, as far as both tell."""
  return all(one[key] == other[key] for key in one.keys() & other.keys())


def of_file(path: str) -> Digest:
  """Of one file; empty where there is none."""
  size, crc32, crc32c = 0, 0, 0
  try:
    with open(path, 'rb', buffering=0) as file:
      while block := file.read(_BLOCK):
        size += len(block)
        crc32 = zlib.crc32(block, crc32)
        crc32c = google_crc32c.extend(crc32c, block)
  except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
    return {}
  except OSError as error:
    # A bad sector is damage; a file system that is away is not.
    if error.errno != errno.EIO:
      raise
    return {'error': error.strerror}
  return {'bytes': size, 'crc32': f'{crc32:08x}', 'crc32c': f'{crc32c:08x}'}


def of_object(about: stores.About) -> Digest:
  """Of an object, as its store says."""
  digest = {'bytes': about['size'], 'crc32c': about['crc32c']}
  # One that was put together of others has none.
  if about['md5Hash']:
    digest['md5'] = about['md5Hash']
  return {
    key: base64.b64decode(value).hex() if isinstance(value, str) else value
    for key, value in digest.items()
  }
