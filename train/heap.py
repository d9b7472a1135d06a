"""The heap of a process that computes on its own CPU cores."""

import ctypes

# Of glibc's malloc.h: options of mallopt, and the value that turns each on.
_KEEP = {
  -4: 0,  # M_MMAP_MAX: large blocks come from the heap, not from the kernel
  -1: 2**31 - 1,  # M_TRIM_THRESHOLD: and stay in it when they are freed
  -8: 1,  # M_ARENA_MAX: there is one heap, whose blocks all threads reuse
}


def keep() -> bool:
  """Makes freed memory stay in the process; says whether that was possible.

  XLA allocates the temporaries of a step anew each time. By default glibc
  gives blocks of their size back to the kernel, and every step pays for its
  pages to be mapped and zeroed again: half the time of an AdamW update of 24M
  parameters. Call it before the first step, where JAX runs on the CPU; C
  libraries other than glibc are left as they are.
  """
  libc = ctypes.CDLL(None)
  if not hasattr(libc, 'mallopt'):
    return False
  done = [libc.mallopt(option, value) for option, value in _KEEP.items()]
  return all(done)
