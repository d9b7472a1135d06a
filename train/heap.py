"""The heap of a process that computes on its own CPU cores."""

import ctypes

# Of glibc's malloc.h: options of mallopt; to keep memory, and as they were.
_OPTIONS = {
  # M_MMAP_MAX: large blocks come from the heap, not from the kernel,
  -4: (0, 65536),
  # M_TRIM_THRESHOLD: and stay in it when they are freed.
  -1: (2**31 - 1, 128 * 1024),
  # M_ARENA_MAX: there is one heap, whose blocks all threads reuse. In any other
  # than the first, blocks above 64 MiB come from the kernel nevertheless.
  -8: (1, 0),
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


def give_back() -> bool:
  """Undoes `keep`, for a process that computes elsewhere."""
  return _set(1)


def _set(column: int) -> bool:
  libc = ctypes.CDLL(None)
  if not hasattr(libc, 'mallopt'):
    return False
  done = [libc.mallopt(key, values[column]) for key, values in _OPTIONS.items()]
  return all(done)
