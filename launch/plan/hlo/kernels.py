"""Time of a kernel of our own, of which the compiler says nothing.

To the compiler a Pallas kernel is a call of unknown length. What is known is
the `CostEstimate` that the kernel was given. Its time is then the sum of

* its matrix products at 85% of the peak: the kernel counts dimensions filled up
  to 128, and a matrix unit of 256 makes it twice that,
* its exponentials, a vector of 1024 in two cycles, as if the chip had one core
  and it multiplied no matrices meanwhile,

or the time to move its bytes at 85% of the bandwidth of HBM, if that is more.
docs/pods_attempts.md compares it with the schedules that the compiler writes.
"""

import re

from launch.plan.hlo import parser
from train.chips import Chip

# Assumed, and the same that elementwise programs are given; docs/pods.md holds
# the estimates beside published measurements.
SHARE = 0.85  # of the peak, and of the bandwidth
LANES = 128
# Of 8 rows of 128 lanes.
VECTOR = 1024
# Assumed; by the compiler's own schedule of the kernel the whole estimate is
# about 40% on the slow side (docs/pods_attempts.md).
CYCLES = 2  # for a vector of exponentials


def cost(instruction: parser.Instruction) -> dict[str, float] | None:
  """What a kernel was said to cost: flops, transcendentals, bytes_accessed.

  Args:
    instruction: any; None is returned where it is no such kernel.
  """
  if 'custom_call_target="tpu_custom_call"' not in instruction.rest:
    return None
  match = re.search(r'"cost_estimate":\{([^}]*)\}', instruction.rest)
  if match is None:
    return None
  found = re.findall(r'"(\w+)":"(\d+)"', match[1])
  return {name: float(number) for name, number in found}


def seconds(cost: dict[str, float], chip: Chip) -> float:
  """Of one run.

  Args:
    cost: of `cost`.
    chip: where it runs.
  """
  # The kernel has filled dimensions up to 128 only; a unit of 256 is left half
  # empty.
  filled = cost['flops'] * chip.matrix_unit / LANES
  products = filled / (SHARE * chip.tflops * 1e12)
  exponentials = CYCLES * cost['transcendentals'] / VECTOR / (chip.ghz * 1e9)
  moved = cost['bytes_accessed'] / (SHARE * chip.hbm_gb_per_s * 1e9)
  return max(products + exponentials, moved)
