"""The heap of a process that computes, or compiles, on its own CPU cores."""

import ctypes
from collections.abc import Sequence

# Of glibc's malloc.h: numbers of mallopt's options; what they are to be for
# memory to be kept, and what they were.
_OPTIONS = {
  # Large blocks come from the heap, not from the kernel,
  'M_MMAP_MAX': (-4, 0, 65536),
  # and stay in it when they are freed.
  'M_TRIM_THRESHOLD': (-1, 2**31 - 1, 128 * 1024),
  # There is one heap, whose blocks all threads reuse. In any other than the
  # first, blocks above 64 MiB come from the kernel nevertheless.
  'M_ARENA_MAX': (-8, 1, 0),
}


def keep() -> bool:
  """Makes freed memory stay in the process; says whether that was possible.

  XLA allocates the temporaries of a step anew each time. By default glibc
  gives blocks of their size back to the kernel, and every step pays for its
  pages to be mapped and zeroed again: half the time of an AdamW update of 24M
  parameters. Call it before JAX starts its backend, whose threads keep the heap
  in which they begin; C libraries other than glibc are left as they are.
  """
  return _set(0)


def share() -> bool:
  """Makes threads reuse what others have freed, and no more than that.

  By default glibc gives each thread a heap of its own. libtpu's threads compile
  parts of a program which one of them puts together: it took a fifth more
  memory. Call it before JAX starts its backend, as `keep`.
  """
  return _set(0, ['M_ARENA_MAX'])


def give_back() -> bool:
  """Undoes `keep`, for a process that computes elsewhere."""
  return _set(1)


def _set(column: int, names: Sequence[str] = tuple(_OPTIONS)) -> bool:
  libc = ctypes.CDLL(None)
  # musl and macOS have none.
  if not hasattr(libc, 'mallopt'):
    return False
  options = [_OPTIONS[name] for name in names]
  done = [libc.mallopt(key, values[column]) for key, *values in options]
  return all(done)
