"""Seconds of our own kernels, from what they were said to cost."""

import pytest

from launch.plan.hlo import kernels, parser
from train.chips import CHIPS

TEXT = """
ENTRY %main (x: bf16[8,128]) -> bf16[8,128] {
  %x = bf16[8,128]{1,0} parameter(0)
  %k = bf16[8,128]{1,0} custom-call(%x), custom_call_target="tpu_custom_call", backend_config={"custom_call_config":{"body":"TUz","cost_estimate":{"flops":"1000","transcendentals":"2048","bytes_accessed":"30"}}}
  ROOT %c = bf16[8,128]{1,0} custom-call(%k), custom_call_target="ConcatBitcast"
}
"""  # noqa: E501


def test_cost_is_read_of_kernels_only():
  main = parser.parse(TEXT).computations['main']
  expected = {'flops': 1000, 'transcendentals': 2048, 'bytes_accessed': 30}
  assert kernels.cost(main['k']) == expected
  assert kernels.cost(main['c']) is None
  assert kernels.cost(main['x']) is None


def test_products_and_exponentials_add_up_or_bytes_rule():
  chip = CHIPS['v5e']
  cost = {'flops': 1e12, 'transcendentals': 1e9, 'bytes_accessed': 1.0}
  expected = 1e12 / (0.85 * 197e12) + 2 * 1e9 / 1024 / 1.5e9
  assert kernels.seconds(cost, chip) == pytest.approx(expected)
  cost['bytes_accessed'] = 1e12
  expected = 1e12 / (0.85 * 819e9)
  assert kernels.seconds(cost, chip) == pytest.approx(expected)


def test_a_larger_matrix_unit_is_emptier():
  chip = CHIPS['v6e']
  cost = {'flops': 1e12, 'transcendentals': 0.0, 'bytes_accessed': 0.0}
  expected = 2 * 1e12 / (0.85 * 918e12)
  assert kernels.seconds(cost, chip) == pytest.approx(expected)
