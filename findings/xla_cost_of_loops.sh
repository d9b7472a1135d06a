#!/bin/sh
# jax 0.10.2, jaxlib 0.10.2, CPU: the FLOPs that a compiled program says it
# costs are those of one turn of its loop, however often the loop runs.
#
# Guessed: a scan of 1,000 products costs 1,000 times one product. So it does
# where the same products are unrolled, and nothing says that the other number
# is of another thing. MFU that is made of it is too low by the number of layers
# of a scanned model.
# Seen: scanned {1: 524288, 10: 524290, 1000: 524290}, unrolled 10: 5242880.
# Ours: models count their own FLOPs (`Objective.flops`), evals/flops.py walks
# the traced program, and launch/plan/hlo multiplies by the trips of a loop.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'END'
import jax
import jax.numpy as jnp


def flops(turns, unroll):
  def run(x, kernel):
    def turn(x, _):
      return x @ kernel, None

    return jax.lax.scan(turn, x, None, length=turns, unroll=unroll)[0]

  x = jnp.ones((64, 64))
  return jax.jit(run).lower(x, x).compile().cost_analysis()['flops']


product = 2 * 64**3
scanned = {turns: flops(turns, 1) for turns in (1, 10, 1000)}
unrolled = flops(10, True)
print(f'one product is {product}; scanned {scanned}, unrolled 10: {unrolled}')
assert unrolled == 10 * product, 'unrolled, they are no longer all counted'
assert scanned[1000] < 1.01 * product, 'a loop is counted otherwise now'
END
