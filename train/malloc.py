"""The heap of a process that computes, or compiles, on its own CPU cores."""

import ctypes
from collections.abc import Mapping

# Of glibc's malloc.h: numbers of mallopt's options, and what they were.
_OPTIONS = {
  'M_MMAP_MAX': (-4, 65536),
  'M_TRIM_THRESHOLD': (-1, 128 * 1024),
  'M_ARENA_MAX': (-8, 0),
}
_KEPT = {
  # Large blocks come from the heap, not from the kernel,
  'M_MMAP_MAX': 0,
  # and stay in it when they are freed.
  'M_TRIM_THRESHOLD': 2**31 - 1,
  # There are two heaps, whose blocks all threads reuse. With one alone they
  # wait for one another: a step of the quickstart takes a seventh longer then,
  # and its compilation a third. With more, each keeps what it had; and in any
  # but the first, blocks above 64 MiB come from the kernel nevertheless.
  'M_ARENA_MAX': 2,
}


def keep() -> bool:
  """Makes freed memory stay in the process; says whether that was possible.

  XLA allocates the temporaries of a step anew each time. By default glibc
  gives blocks of their size back to the kernel, and every step pays for its
  pages to be mapped and zeroed again: half the time of an AdamW update of 24M
  parameters. Call it before JAX starts its backend, whose threads keep the heap
  in which they begin; C libraries other than glibc are left as they are.
  """
  return _set(_KEPT)


def share() -> bool:
  """Makes threads reuse what others have freed, and no more than that.

  By default glibc gives each thread a heap of its own. libtpu's threads compile
  parts of a program which one of them puts together: it took a fifth more
  memory. Call it before JAX starts its backend, as `keep`.
  """
  return _set({'M_ARENA_MAX': 1})


def give_back() -> bool:
  """Undoes `keep`, for a process that computes elsewhere."""
  return _set({name: before for name, (_, before) in _OPTIONS.items()})


def _set(values: Mapping[str, int]) -> bool:
  libc = ctypes.CDLL(None)
  # musl and macOS have none.
  if not hasattr(libc, 'mallopt'):
    return False
  done = [libc.mallopt(_OPTIONS[k][0], x) for k, x in values.items()]
  return all(done)
