"""Memory that is freed stays in the process."""

import subprocess
import sys

PROGRAM = """
import resource
import numpy as np
from train import heap
if not heap.keep():
  print(0)
  raise SystemExit
def faults():
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  np.ones(16 * 2**20)  # 128 MiB: 32768 pages
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def test_a_second_block_has_no_page_faults():
  run = [sys.executable, '-c', PROGRAM]
  done = subprocess.run(run, capture_output=True, text=True, check=True)
  assert int(done.stdout) < 1000
