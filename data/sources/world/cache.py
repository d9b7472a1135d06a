"""Clips of the built-in world on disk, one memory-mapped file per key."""

import concurrent.futures
import contextlib
import functools
import math
import multiprocessing
import os
import pathlib
import tokenize

import numpy as np

from base import files
from base.console import progress, say
from data import children
from data.source import TABLE

_STORED = {'depth': 'float16'}  # 0.05 %: finer than any metric asks
_CHUNK = 32  # clips in one piece of work
_IN_PROCESS = 4  # pieces that are not worth starting processes for


def fill(folder: str, source, *, workers: int) -> None:
  """Renders the keys of `source` that the folder lacks.

  A key's file gets its name only when it is complete: what a killed run left
  is thrown away and rendered anew, as is a file that is damaged. One process
  renders, others wait for it.

  Args:
    folder: where `<key>.npy` go.
    source: picklable, with `keys`, __len__, read(index) and `sizes` of the
      letters of `data.source.TABLE`; `only(keys)` is the same source with
      other keys.
    workers: processes; 0: one for each core this process may use.

  Raises:
    OSError: the disk is full, or the folder cannot be written.
  """
  folder = pathlib.Path(folder)
  if not _missing(folder, source):
    return
  with files.lock(folder / 'lock', wait=True), contextlib.ExitStack() as drafts:
    missing = _missing(folder, source)
    files.remove_drafts(folder)
    # They get their names once all are complete.
    parts = {
      key: drafts.enter_context(files.replacing(folder / f'{key}.npy'))
      for key in missing
    }
    if parts:
      _allocate(folder, parts, source)
      # Of a container, not of the machine.
      workers = workers or len(os.sched_getaffinity(0))
      _render(parts, source.only(missing), workers)
  _mapped.cache_clear()  # this process may have read a file that was damaged


def read(folder: str, keys, index: int) -> dict[str, np.ndarray]:
  """One clip, copied out of the files."""
  clip = {key: np.array(_mapped(f'{folder}/{key}.npy')[index]) for key in keys}
  for key in _STORED.keys() & clip.keys():
    clip[key] = clip[key].astype(np.float32)
  return clip


@functools.lru_cache(maxsize=64)
def _mapped(path):
  """Opened once in a process, so that a source itself holds no files."""
  return np.load(path, mmap_mode='r')


def _missing(folder: pathlib.Path, source) -> list[str]:
  """Keys without a file; one that is damaged, which is said, counts as none."""
  missing = []
  for key in source.keys:
    file = folder / f'{key}.npy'
    if not file.exists():
      missing.append(key)
      continue
    damage = _damage(file, *_stored(key, source))
    if damage:
      say(f'world: {file} is damaged ({damage}): it is rendered anew')
      missing.append(key)
  return missing


def _damage(file: pathlib.Path, dtype: np.dtype, shape: tuple[int, ...]) -> str:
  """What is wrong with a file, '' if nothing; its numbers are not read."""
  try:
    found = np.lib.format.open_memmap(file, 'r')
  # All that NumPy raises of a file that is empty, cut off or garbled.
  except (ValueError, tokenize.TokenError) as error:
    return str(error)
  if (found.dtype, found.shape) != (dtype, shape):
    return f'{found.dtype} {list(found.shape)}, expected {dtype} {list(shape)}'
  return ''


def _stored(key: str, source) -> tuple[np.dtype, tuple[int, ...]]:
  """Type and shape of the file of a key."""
  dtype, letters = TABLE[key]
  shape = (
    int(letter) if letter.isdigit() else source.sizes[letter]
    for letter in letters.split()
  )
  return np.dtype(_STORED.get(key, dtype)), (len(source), *shape)


def _allocate(folder, parts, source):
  """Empty files of full size: a disk too small is known before rendering."""
  stored = {key: _stored(key, source) for key in parts}
  need = sum(math.prod(shape) * d.itemsize for d, shape in stored.values())
  try:
    for key, part in parts.items():
      dtype, shape = stored[key]
      array = np.lib.format.open_memmap(part, 'w+', dtype, shape)
      del array
      # The file is sparse yet; writing to a hole on a full disk would kill.
      with open(part, 'r+b') as file:
        os.posix_fallocate(file.fileno(), 0, os.path.getsize(part))
  except OSError as error:
    if error.errno not in files.FULL:
      raise
    raise OSError(
      error.errno,
      f'the disk is too full for a world cache of {need / 2**20:.0f} MiB '
      f'({len(source)} clips of {", ".join(parts)}). Free space, or set cache '
      'to a folder of another disk, or make fewer or smaller clips',
      str(folder),
    ) from None


def _render(parts, source, workers):
  count = len(source)
  pieces = [
    (parts, source, first, min(first + _CHUNK, count))
    for first in range(0, count, _CHUNK)
  ]
  if workers == 1 or len(pieces) <= _IN_PROCESS:
    _follow((_write(*piece) for piece in pieces), count, parts)
    return
  executor = concurrent.futures.ProcessPoolExecutor(
    workers,
    mp_context=multiprocessing.get_context('spawn'),
    initializer=children.begin,
  )
  try:
    with children.deaf():
      waiting = [executor.submit(_write, *piece) for piece in pieces]
    done = concurrent.futures.as_completed(waiting)
    _follow((future.result() for future in done), count, parts)
  finally:
    executor.shutdown(cancel_futures=True)


def _write(parts, source, first, last):
  files = {key: np.load(part, mmap_mode='r+') for key, part in parts.items()}
  for index in range(first, last):
    for key, value in source.read(index).items():
      files[key][index] = value
  return last - first


def _follow(finished, count, keys):
  """Goes through pieces of work, and shows how many clips are done."""
  with progress(f'world: {", ".join(keys)}', count, 'clip') as bar:
    for clips in finished:
      bar.update(clips)
