"""Memory that is freed stays in the process, and is used again."""

import subprocess
import sys

PROGRAM = """
import resource
import numpy as np
from train import heap
if not heap.keep():
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


STEPS = """
import resource
from train import start
start.up('')
import jax
import jax.numpy as jnp
x = jnp.ones((2048, 2048))
@jax.jit
def step(x):
  y = jnp.concatenate([x * i for i in range(8)])  # a temporary of 128 MiB
  return jax.lax.optimization_barrier(y)[::8] * 2
for _ in range(6):
  jax.block_until_ready(step(x))
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
  jax.block_until_ready(step(x))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_the_temporaries_of_a_step_are_too():
  run = [sys.executable, '-c', STEPS]
  done = subprocess.run(run, capture_output=True, text=True, check=True)
  # Of 10 x 32,768 and more; the heap may still grow once or twice.
  assert int(done.stdout) < 100_000


def test_freed_memory_is_used_again_without_page_faults():
  run = [sys.executable, '-c', PROGRAM]
  done = subprocess.run(run, capture_output=True, text=True, check=True)
  faults, grown_kib = map(int, done.stdout.split())
  assert faults < 1000
  assert grown_kib < 64 * 1024
