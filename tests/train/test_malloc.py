"""Memory that is freed stays in the process, and is used again."""

import subprocess
import sys

from train import processes

PROGRAM = """
import resource
import numpy as np
from train import malloc
if not malloc.keep():
  print(0, 0)
  raise SystemExit
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
if not malloc.share():
  print(0)
  raise SystemExit
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


def test_the_heap_is_set_up_before_the_backend_starts_its_threads(monkeypatch):
  order = []
  monkeypatch.setattr(processes.malloc, 'keep', lambda: order.append('keep'))
  monkeypatch.setattr(
    processes.jax, 'default_backend', lambda: order.append('backend') or 'cpu'
  )
  processes.join('', start_sec=100, silent_sec=100, meet_sec=100)
  assert order == ['keep', 'backend']


def test_freed_memory_is_used_again_without_page_faults():
  run = [sys.executable, '-c', PROGRAM]
  done = subprocess.run(run, capture_output=True, text=True, check=True)
  faults, grown_kib = map(int, done.stdout.split())
  assert faults < 1000
  assert grown_kib < 64 * 1024


def test_a_thread_uses_again_what_another_has_freed():
  run = [sys.executable, '-c', THREADS]
  done = subprocess.run(run, capture_output=True, text=True, check=True)
  assert int(done.stdout) < 16 * 1024
