"""Clips of the built-in world on disk, one memory-mapped file per key."""

import concurrent.futures
import contextlib
import errno
import fcntl
import functools
import math
import multiprocessing
import os
import pathlib
import time

import numpy as np

_STORED = {'depth': np.float16}  # 0.05 %: finer than any metric asks
_CHUNK = 32  # clips in one piece of work
_IN_PROCESS = 4  # pieces that are not worth starting processes for
_REPORT_SEC = 5.0


def fill(folder: str, source, *, workers: int) -> None:
  """Renders the keys of `source` that the folder lacks.

  A key's file gets its name only when it is complete: what a killed run left
  is thrown away and rendered anew. One process renders, others wait for it.

  Args:
    folder: where `<key>.npy` go.
    source: picklable, with `keys`, __len__ and read(index); `only(keys)` is
      the same source with other keys.
    workers: processes; 0: one for each core this process may use.

  Raises:
    OSError: the disk is full, or the folder cannot be written.
  """
  folder = pathlib.Path(folder)
  if not _missing(folder, source.keys):
    return
  folder.mkdir(parents=True, exist_ok=True)
  with _locked(folder / 'lock'):
    missing = _missing(folder, source.keys)
    if not missing:
      return
    for leftover in folder.glob('*.part'):
      leftover.unlink()
    parts = {key: folder / f'{key}.npy.part' for key in missing}
    source = source.only(missing)
    _allocate(parts, source.read(0), len(source))
    _render(parts, source, workers or len(os.sched_getaffinity(0)))
    for key, part in parts.items():
      part.rename(folder / f'{key}.npy')


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


def _missing(folder, keys):
  return [key for key in keys if not (folder / f'{key}.npy').exists()]


@contextlib.contextmanager
def _locked(path):
  with open(path, 'w') as file:
    fcntl.flock(file, fcntl.LOCK_EX)  # let go when the process dies
    yield


def _allocate(parts, example, count):
  """Empty files of full size: a disk too small is known before rendering."""
  shapes = {key: (count, *example[key].shape) for key in parts}
  dtypes = {
    key: np.dtype(_STORED[key] if key in _STORED else example[key].dtype)
    for key in parts
  }
  need = sum(math.prod(shapes[k]) * dtypes[k].itemsize for k in parts)
  try:
    for key, part in parts.items():
      array = np.lib.format.open_memmap(
        part, mode='w+', dtype=dtypes[key], shape=shapes[key]
      )
      del array
      # The file is sparse yet; writing to a hole on a full disk would kill.
      with open(part, 'r+b') as file:
        os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
  except OSError as error:
    for part in parts.values():
      part.unlink(missing_ok=True)
    if error.errno != errno.ENOSPC:
      raise
    raise OSError(
      errno.ENOSPC,
      f'the disk is too full for a world cache of {need / 2**20:.0f} MiB '
      f'({count} clips of {", ".join(parts)}). Free space, or set cache to a '
      'folder of another disk, or make fewer or smaller clips',
      str(next(iter(parts.values())).parent),
    ) from None


def _render(parts, source, workers):
  count = len(source)
  pieces = [
    (parts, source, first, min(first + _CHUNK, count))
    for first in range(0, count, _CHUNK)
  ]
  if workers == 1 or len(pieces) <= _IN_PROCESS:
    _report((_write(*piece) for piece in pieces), count, parts)
    return
  executor = concurrent.futures.ProcessPoolExecutor(
    workers, mp_context=multiprocessing.get_context('spawn')
  )
  try:
    waiting = [executor.submit(_write, *piece) for piece in pieces]
    done = concurrent.futures.as_completed(waiting)
    _report((future.result() for future in done), count, parts)
  finally:
    executor.shutdown(cancel_futures=True)


def _write(parts, source, first, last):
  files = {key: np.load(part, mmap_mode='r+') for key, part in parts.items()}
  for index in range(first, last):
    for key, value in source.read(index).items():
      files[key][index] = value
  return last - first


def _report(finished, count, keys):
  """Progress with rate and time left, now and then, on stdout."""
  start = last = time.monotonic()
  done = 0
  for clips in finished:
    done += clips
    now = time.monotonic()
    if now - last < _REPORT_SEC and done < count:
      continue
    last = now
    rate = done / max(now - start, 1e-9)
    print(
      f'world: {done}/{count} clips of {", ".join(keys)}, '
      f'{rate:.0f} clips/s, {(count - done) / rate:.0f} s left',
      flush=True,
    )
