"""Language models' training step, to hold the estimates against.

MaxText's base model (width 2048, 16 heads of 128, gated MLP of 7168, 16 layers,
32,000 tokens, rotary positions, RMSNorm) at `global_parameter_scale` 16, which
makes the width and the layers twice, heads and MLP 4 times as many; and at 32,
which makes the width 4 times as many too.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import optax
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from models.nn import attention
from train import mesh as mesh_lib

HEADS, HEAD, LAYERS, HIDDEN, VOCABULARY = 64, 128, 32, 28672, 32000
LENGTH = 2048  # tokens of a sequence
BATCH = P('fsdp', None, None)
ROWS, COLUMNS = P('fsdp', None), P(None, 'fsdp')
# Kernel -> the axis that FSDP splits. Those of a layer are stacked.
KERNELS = {
  **dict.fromkeys(('query', 'key', 'value', 'gate', 'up'), ROWS),
  **dict.fromkeys(('out', 'down'), COLUMNS),
}
ENDS = {'embed': COLUMNS, 'unembed': ROWS}


@dataclasses.dataclass(frozen=True)
class Size:
  """What differs between the two, and how they are trained.

  Attributes:
    width: of a token.
    sequences: of a chip.
    saved: names that the backward pass does not recompute.
    kernel: attend with the kernel of `models/nn/attention/tpu.py`, which knows
      no causal mask, and so takes as long as twice the attention of one that
      does.
  """

  width: int
  sequences: int
  saved: tuple[str, ...] = ()
  kernel: bool = False

  @property
  def shapes(self) -> dict[str, tuple[int, int]]:
    """Of each kernel."""
    inner = HEADS * HEAD
    return {
      **dict.fromkeys(('query', 'key', 'value'), (self.width, inner)),
      'out': (inner, self.width),
      **dict.fromkeys(('gate', 'up'), (self.width, HIDDEN)),
      'down': (HIDDEN, self.width),
      'embed': (VOCABULARY, self.width),
      'unembed': (self.width, VOCABULARY),
    }


_SAVED = ('query', 'key', 'value', 'attended', 'out', 'gate', 'up')
B16 = Size(4096, 6, kernel=True)
B32 = Size(8192, 4, _SAVED)
B32_KERNEL = dataclasses.replace(B32, kernel=True)


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


def layer(size, x, params):
  """One layer on x [b n d], as `jax.lax.scan` takes it."""
  kernels = {n: read(params[n], place) for n, place in KERNELS.items()}
  y = norm(x, params['attention_norm'])
  q, k, v = (
    checkpoint_name(y @ kernels[name], name).reshape(*y.shape[:2], HEADS, HEAD)
    for name in ('query', 'key', 'value')
  )
  run = functools.partial(attention.attend, implementation='rows')
  y = (run if size.kernel else attend)(rotate(q), rotate(k), v)
  y = y.reshape(*y.shape[:2], HEADS * HEAD)
  y = checkpoint_name(y, 'attended') @ kernels['out']
  x = jax.lax.with_sharding_constraint(x + checkpoint_name(y, 'out'), BATCH)
  y = norm(x, params['mlp_norm'])
  gate = checkpoint_name(y @ kernels['gate'], 'gate')
  up = checkpoint_name(y @ kernels['up'], 'up')
  x += (jax.nn.silu(gate) * up) @ kernels['down']
  return jax.lax.with_sharding_constraint(x, BATCH), None


def loss(params, tokens, size):
  """Cross-entropy of the next token; tokens [b n]."""
  policy = jax.checkpoint_policies.save_only_these_names(*size.saved)
  ends = {name: read(params[name], place) for name, place in ENDS.items()}
  x = jax.nn.one_hot(tokens, VOCABULARY, dtype=jnp.bfloat16) @ ends['embed']
  x = jax.lax.with_sharding_constraint(x, BATCH)
  block = functools.partial(layer, size)
  block = jax.checkpoint(block, policy=policy)
  x, _ = jax.lax.scan(block, x, params['layers'])
  logits = norm(x, params['norm']) @ ends['unembed']
  targets = jnp.roll(tokens, -1, 1)
  return optax.softmax_cross_entropy_with_integer_labels(
    logits.astype(jnp.float32), targets
  ).mean()


def step(tx, size, params, state, tokens):
  """One update: the parameters and the state after it."""
  gradients = jax.grad(loss)(params, tokens, size)
  updates, state = tx.update(gradients, state, params)
  return optax.apply_updates(params, updates), state


class Program:
  """The step on a mesh, as `launch.plan.compiler.compile_step` takes it."""

  def __init__(self, size, mesh):
    self.size = size
    self.mesh = mesh
    self.compiler_options = {}

  def shapes(self):
    """Parameters, optimizer, tokens; with their places."""
    vector = (self.size.width,)
    norms = ('attention_norm', 'mlp_norm')
    of = self.size.shapes | dict.fromkeys(norms, vector)
    stack = KERNELS | dict.fromkeys(norms, P(None))
    shapes = {name: of[name] for name in ENDS} | {'norm': vector}
    places = ENDS | {'norm': P(None)}
    shapes['layers'] = {name: (LAYERS, *of[name]) for name in stack}
    places['layers'] = {name: P(None, *place) for name, place in stack.items()}

    def struct(shape, place, dtype=jnp.float32):
      where = NamedSharding(self.mesh, place)
      return jax.ShapeDtypeStruct(shape, dtype, sharding=where)

    params = jax.tree.map(
      struct, shapes, places, is_leaf=lambda x: isinstance(x, tuple)
    )
    count = struct((), P(), jnp.int32)
    moments = optax.ScaleByAdamState(count, params, params)
    rows = self.size.sequences * self.mesh.size
    return params, moments, struct((rows, LENGTH), P('fsdp', None), jnp.int32)

  def lower(self):
    """Lowers it; what it gives back lies as what it is given."""
    params, moments, tokens = self.shapes()
    tx = optax.adamw(1e-4)
    state = (moments, optax.EmptyState(), optax.EmptyState())
    places = jax.tree.map(lambda leaf: leaf.sharding, (params, state))
    run = jax.jit(
      functools.partial(step, tx, self.size),
      donate_argnums=(0, 1),
      out_shardings=places,
    )
    with mesh_lib.use(self.mesh):
      return run.lower(params, state, tokens)

  def flops(self):
    """Of the model: three times the forward pass, without the look-up.

    Attention is counted whole, as MaxText did when it published its figures.
    """
    kernels = sum(math.prod(self.size.shapes[name]) for name in KERNELS)
    attention = 2 * LENGTH * HEADS * HEAD
    forward = LAYERS * (kernels + attention) + VOCABULARY * self.size.width
    return 6.0 * forward * LENGTH * self.size.sequences * self.mesh.size
