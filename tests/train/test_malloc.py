"""Memory that is freed stays in the process, and is used again."""

import platform
import subprocess
import sys

import pytest

from train import malloc, processes

PROGRAM = """
import resource
import numpy as np
from train import malloc
assert malloc.keep()
def usage():
  return resource.getrusage(resource.RUSAGE_SELF)
def faults():
  before = usage().ru_minflt
  np.ones(16 * 2**20)  # 128 MiB: 32768 pages
  return usage().ru_minflt - before
faults()
second = faults()
peak = usage().ru_maxrss
rng = np.random.default_rng(0)
held = []
for _ in range(200):  # at most 64 MiB are held at a time
  held = [*held[-3:], np.ones(rng.integers(1, 2 * 2**20))]
print(second, usage().ru_maxrss - peak)
"""

THREADS = """
import resource, threading
from train import malloc
assert malloc.share()
def peak():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def allocate():
  return [bytearray(2**16) for _ in range(1600)]  # 100 MiB
freed, done = threading.Event(), threading.Event()
def first():
  last = allocate()[-1]  # keeps the rest from going back to the kernel
  freed.set()
  done.wait()
threads = [threading.Thread(target=work) for work in (first, allocate)]
threads[0].start()
freed.wait()
before = peak()
threads[1].start()
threads[1].join()
done.set()
print(peak() - before)
"""


@pytest.mark.parametrize('backend', ['cpu', 'tpu'])
def test_the_heap_is_set_up_before_the_backend_starts_its_threads(
  backend, monkeypatch
):
  """And is as it was where the backend computes elsewhere."""
  order = []
  for name in ('keep', 'give_back'):
    monkeypatch.setattr(
      processes.joining.malloc, name, lambda name=name: order.append(name)
    )
  monkeypatch.setattr(
    processes.joining.jax,
    'default_backend',
    lambda: order.append('backend') or backend,
  )
  processes.join('', start_sec=100, silent_sec=100, meet_sec=100)
  after = [] if backend == 'cpu' else ['give_back']
  assert order == ['keep', 'backend', *after]


class Libc:
  """Takes down what it is told, and does all of it but one thing."""

  def __init__(self, refused=None):
    self.told, self.refused = {}, refused

  def mallopt(self, option, value):
    self.told[option] = value
    return option != self.refused


def test_what_is_kept_is_given_back(monkeypatch):
  """By the numbers of glibc's malloc.h, to what its manual has as defaults."""
  mmap_max, trim, arenas = -4, -1, -8
  libc = Libc()
  monkeypatch.setattr(malloc.ctypes, 'CDLL', lambda name: libc)
  assert malloc.share()
  assert libc.told == {arenas: 1}
  assert malloc.keep()
  assert libc.told == {mmap_max: 0, trim: 2**31 - 1, arenas: 2}
  assert malloc.give_back()
  assert libc.told == {mmap_max: 65536, trim: 128 * 1024, arenas: 0}


def test_what_a_libc_does_not_do_is_told(monkeypatch):
  for libc in (Libc(refused=-8), object()):
    monkeypatch.setattr(malloc.ctypes, 'CDLL', lambda name, it=libc: it)
    assert not malloc.keep()
    assert not malloc.share()


# Elsewhere `keep` does nothing.
on_glibc = pytest.mark.skipif(
  platform.libc_ver()[0] != 'glibc', reason='of glibc alone'
)


@on_glibc
def test_freed_memory_is_used_again_without_page_faults():
  run = [sys.executable, '-c', PROGRAM]
  done = subprocess.run(run, capture_output=True, text=True, check=True)
  faults, grown_kib = map(int, done.stdout.split())
  assert faults < 1000
  assert grown_kib < 64 * 1024


@on_glibc
def test_a_thread_uses_again_what_another_has_freed():
  run = [sys.executable, '-c', THREADS]
  done = subprocess.run(run, capture_output=True, text=True, check=True)
  assert int(done.stdout) < 16 * 1024
