"""A language model's training step, to hold the estimates against.

MaxText's 32B: its base model (width 2048, 16 heads of 128, gated MLP of 7168,
16 layers, 32,000 tokens, rotary positions, RMSNorm) at `global_parameter_scale`
32, which makes the width, heads and MLP 4 times and the layers twice as many.
"""

import functools
import math

import jax
import jax.numpy as jnp
import optax
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from train import mesh as mesh_lib

LAYERS, WIDTH, HEADS, HEAD, HIDDEN, VOCABULARY = 32, 8192, 64, 128, 28672, 32000
LENGTH, SEQUENCES = 2048, 4  # tokens of a sequence, sequences of a chip
BATCH = P('fsdp', None, None)
ROWS, COLUMNS = P('fsdp', None), P(None, 'fsdp')
# Kernel -> its shape, the axis that FSDP splits. Those of a layer are stacked.
KERNELS = {
  **dict.fromkeys(('query', 'key', 'value'), ((WIDTH, WIDTH), ROWS)),
  'out': ((WIDTH, WIDTH), COLUMNS),
  'gate': ((WIDTH, HIDDEN), ROWS),
  'up': ((WIDTH, HIDDEN), ROWS),
  'down': ((HIDDEN, WIDTH), COLUMNS),
}
ENDS = {
  'embed': ((VOCABULARY, WIDTH), COLUMNS),
  'unembed': ((WIDTH, VOCABULARY), ROWS),
}


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def collect(kernel, place):
  """A kernel, whole; its gradient goes back to the shards."""
  return jax.lax.with_sharding_constraint(kernel, P(None, None))


collect.defvjp(
  lambda kernel, place: (collect(kernel, place), None),
  lambda place, _, g: (jax.lax.with_sharding_constraint(g, place),),
)


def read(kernel, place):
  """A kernel as the arithmetic reads it: bfloat16, whole."""
  return collect(kernel.astype(jnp.bfloat16), place)


def norm(x, scale):
  """RMSNorm over the last axis, in float32."""
  y = x.astype(jnp.float32)
  y *= jax.lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + 1e-6)
  return (y * scale).astype(x.dtype)


def rotate(x):
  """Rotary positions of x [b n h d]."""
  places = jnp.arange(x.shape[1], dtype=jnp.float32)[:, None, None]
  half = x.shape[-1] // 2
  angles = places * 1e-4 ** (jnp.arange(half, dtype=jnp.float32) / half)
  a, b = jnp.split(x.astype(jnp.float32), 2, -1)
  cos, sin = jnp.cos(angles), jnp.sin(angles)
  turned = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)
  return turned.astype(x.dtype)


def attend(q, k, v):
  """Causal attention of [b n h d], plain, its softmax in float32."""
  logits = jnp.einsum(
    'bqhd,bkhd->bhqk', q, k, preferred_element_type=jnp.float32
  )
  length = q.shape[1]
  later = jnp.arange(length)[:, None] < jnp.arange(length)
  logits = jnp.where(later, -1e30, logits / math.sqrt(HEAD))
  return jnp.einsum(
    'bhqk,bkhd->bqhd', jax.nn.softmax(logits).astype(q.dtype), v
  )


def layer(x, params):
  """One layer on x [b n d], as `jax.lax.scan` takes it."""
  kernels = {n: read(params[n], place) for n, (_, place) in KERNELS.items()}
  y = norm(x, params['attention_norm'])
  q, k, v = (
    checkpoint_name(y @ kernels[name], name).reshape(*y.shape[:2], HEADS, HEAD)
    for name in ('query', 'key', 'value')
  )
  y = attend(rotate(q), rotate(k), v).reshape(y.shape)
  y = checkpoint_name(y, 'attended') @ kernels['out']
  x = jax.lax.with_sharding_constraint(x + checkpoint_name(y, 'out'), BATCH)
  y = norm(x, params['mlp_norm'])
  gate = checkpoint_name(y @ kernels['gate'], 'gate')
  up = checkpoint_name(y @ kernels['up'], 'up')
  x += (jax.nn.silu(gate) * up) @ kernels['down']
  return jax.lax.with_sharding_constraint(x, BATCH), None


SAVED = jax.checkpoint_policies.save_only_these_names(
  *('query', 'key', 'value', 'attended', 'out', 'gate', 'up')
)


def loss(params, tokens):
  """Cross-entropy of the next token; tokens [b n]."""
  ends = {name: read(params[name], place) for name, (_, place) in ENDS.items()}
  x = jax.nn.one_hot(tokens, VOCABULARY, dtype=jnp.bfloat16) @ ends['embed']
  x = jax.lax.with_sharding_constraint(x, BATCH)
  x, _ = jax.lax.scan(jax.checkpoint(layer, policy=SAVED), x, params['layers'])
  logits = norm(x, params['norm']) @ ends['unembed']
  targets = jnp.roll(tokens, -1, 1)
  return optax.softmax_cross_entropy_with_integer_labels(
    logits.astype(jnp.float32), targets
  ).mean()


def step(tx, params, state, tokens):
  """One update: the parameters and the state after it."""
  gradients = jax.grad(loss)(params, tokens)
  updates, state = tx.update(gradients, state, params)
  return optax.apply_updates(params, updates), state


class Program:
  """The step on a mesh, as `launch.plan.compiled.compile_step` takes it."""

  def __init__(self, mesh):
    self.mesh = mesh
    self.compiler_options = {}

  def shapes(self):
    """Parameters, optimizer, tokens; with their places."""
    shapes, places = {}, {}
    for name, (shape, place) in ENDS.items():
      shapes[name], places[name] = shape, place
    shapes['norm'], places['norm'] = (WIDTH,), P(None)
    norms = {n: ((WIDTH,), P(None)) for n in ('attention_norm', 'mlp_norm')}
    stack = (KERNELS | norms).items()
    shapes['layers'] = {name: (LAYERS, *shape) for name, (shape, _) in stack}
    places['layers'] = {name: P(None, *place) for name, (_, place) in stack}

    def struct(shape, place, dtype=jnp.float32):
      where = NamedSharding(self.mesh, place)
      return jax.ShapeDtypeStruct(shape, dtype, sharding=where)

    params = jax.tree.map(
      struct, shapes, places, is_leaf=lambda x: isinstance(x, tuple)
    )
    count = struct((), P(), jnp.int32)
    moments = optax.ScaleByAdamState(count, params, params)
    rows = SEQUENCES * self.mesh.size
    return params, moments, struct((rows, LENGTH), P('fsdp', None), jnp.int32)

  def lower(self):
    """Lowers it; what it gives back lies as what it is given."""
    params, moments, tokens = self.shapes()
    tx = optax.adamw(1e-4)
    state = (moments, optax.EmptyState(), optax.EmptyState())
    places = jax.tree.map(lambda leaf: leaf.sharding, (params, state))
    run = jax.jit(
      functools.partial(step, tx), donate_argnums=(0, 1), out_shardings=places
    )
    with mesh_lib.use(self.mesh):
      return run.lower(params, state, tokens)

  def flops(self):
    """Of the model: three times the forward pass, without the look-up.

    Attention is counted whole, as MaxText did when it published its figures.
    """
    kernels = sum(math.prod(shape) for shape, _ in KERNELS.values())
    attention = 2 * LENGTH * WIDTH
    forward = LAYERS * (kernels + attention) + VOCABULARY * WIDTH
    return 6.0 * forward * LENGTH * SEQUENCES * self.mesh.size
