"""FLOPs of any function, counted in the program that JAX makes of it."""

import math
from collections.abc import Callable

import jax
from jax.extend import core


def forward_flops(function: Callable, *args) -> float:
  """FLOPs of matrix products and convolutions of `function(*args)`.

  Nothing is run.

  A multiply-add is 2; the body of a scan counts once per iteration. So the
  features of any backbone are counted, without a formula of its own.

  Args:
    function: traceable, without while loops of unknown length.
    *args: arrays, or anything with a shape and a dtype.
  """
  shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), args)
  return float(_count(jax.make_jaxpr(function)(*shapes).jaxpr))


def _count(jaxpr) -> int:
  flops = 0
  for equation in jaxpr.eqns:
    if equation.primitive.name == 'dot_general':
      flops += _product(equation)
    if equation.primitive.name == 'conv_general_dilated':
      flops += _convolution(equation)
    # XLA's own count takes a loop's body once.
    is_scan = equation.primitive.name == 'scan'
    repeats = equation.params['length'] if is_scan else 1
    for inner in core.jaxprs_in_params(equation.params):
      flops += repeats * _count(inner)
  return flops


def _product(equation) -> int:
  """2 x outputs x length of the contraction."""
  (contracted, _), _ = equation.params['dimension_numbers']
  left = equation.invars[0].aval.shape
  return (
    2
    * math.prod(equation.outvars[0].aval.shape)
    * math.prod(left[axis] for axis in contracted)
  )


def _convolution(equation) -> int:
  """2 x outputs x numbers of the kernel that each is made of."""
  kernel = equation.invars[1].aval.shape
  outputs = equation.params['dimension_numbers'].rhs_spec[0]
  per_output = math.prod(kernel) // kernel[outputs]
  return 2 * math.prod(equation.outvars[0].aval.shape) * per_output
