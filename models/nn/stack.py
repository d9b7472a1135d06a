"""Blocks one after another, whose parameters are stacked along a first axis.

What the backward pass keeps of them, a slice of them, and all of them in a
loop.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from models.nn.layers import Block
from models.objective import Params
from models.sharding import constrain, gather

SAVED = jax.checkpoint_policies
# What products make, as models/nn/layers.py and attention, moog/layers.py and
# moog/frames.py name it.
NAMED = ('qkv', 'attended', 'projected', 'hidden', 'convolved')
REMAT = {
  'none': None,  # keep everything the backward pass reads
  'named': SAVED.save_only_these_names(*NAMED),
  # The same, kept in the host's memory from the forward to the backward pass.
  'offload': SAVED.save_and_offload_only_these_names(
    names_which_can_be_saved=[],
    names_which_can_be_offloaded=list(NAMED),
    offload_src='device',
    offload_dst='pinned_host',
  ),
  'dots': SAVED.dots_with_no_batch_dims_saveable,  # by kernels, not attention's
  'full': SAVED.nothing_saveable,  # keep the inputs of blocks only
}


def rematerialised(
  function: Callable, remat: str, *, in_scan: bool
) -> Callable:
  """The function, of which the backward pass keeps what a policy says.

  Args:
    function: of arrays.
    remat: a name of REMAT.
    in_scan: whether it is the body of one: there nothing can be moved out of
      the loop to undo the rematerialisation.
  """
  if REMAT[remat] is None:
    return function
  # Outside a loop the compiler may merge what is made again with what was made
  # before, and so keep it after all.
  return jax.checkpoint(function, policy=REMAT[remat], prevent_cse=not in_scan)


def init(block: Block, rng: PRNGKeyArray, *, width: int, depth: int) -> Params:
  """New parameters of `depth` blocks on tokens of a width, stacked."""
  # A single token cannot be split, and is in no place.
  block = block.clone(tokens=None, turn=None)
  # Of its input a block's parameters depend on the width alone.
  x = jnp.zeros((1, 1, width), block.dtype)
  keys = jax.random.split(rng, depth)
  # A key for each layer: from one, all would start alike.
  return jax.vmap(lambda key: block.init(key, x)['params'])(keys)


def run(
  block: Block, layers: Params, x: Float[Array, 'b n d'], *, remat, scan: bool
) -> Float[Array, 'b n d']:
  """Runs blocks on tokens.

  Args:
    block: what all of them are.
    layers: stacked parameters of the blocks to run, of any number of them.
    x: tokens.
    remat: what the backward pass recomputes, a name of REMAT.
    scan: scan over the layers (compiles in constant time), or unroll them.
  """

  def one(x, layer):
    x = constrain(x, 'batch', block.tokens, None)
    # In here, so that what is collected is collected again in the backward
    # pass, and not kept for it.
    layer = gather(layer, 'processor/layers', block.dtype)
    return block.apply({'params': layer}, x)

  # Block by block: what the backward pass holds at once is that of one.
  one = rematerialised(one, remat, in_scan=scan)
  if scan:
    return jax.lax.scan(lambda x, layer: (one(x, layer), None), x, layers)[0]
  for layer in unstack(layers):
    x = one(x, layer)
  return x


def split(layers: Params, at: int) -> tuple[Params, Params]:
  """The first `at` layers of a stack, and the rest.

  The gradient of `jax.lax.split` is one concatenation; that of two slices
  would be two padded arrays and their sum.
  """
  leaves, tree = jax.tree.flatten(layers)
  pairs = [jax.lax.split(x, (at, x.shape[0] - at)) for x in leaves]
  return tuple(tree.unflatten(half) for half in zip(*pairs))


def unstack(layers: Params) -> list[Params]:
  """The layers of a stack, one by one."""
  # One split, see `split`; slices would each pad their gradient.
  leaves, tree = jax.tree.flatten(layers)
  pieces = [jax.lax.split(x, (1,) * x.shape[0]) for x in leaves]
  return [tree.unflatten([x[0] for x in layer]) for layer in zip(*pieces)]
