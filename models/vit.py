"""The 4DS backbone: a plain video vision transformer, as pure functions.

Layers are stacked: every parameter of `processor/layers` has a leading axis
[l]. They run by `jax.lax.scan` over `Block.apply`, not by `nn.scan`: a method
runs parts of the stack on different tokens (the first blocks on the visible
ones, the last on the union with latents; readouts stop early), and a slice of
an array is simpler than a slice of a lifted module.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from base.names import choose
from models import sizes
from models.nn import patches
from models.nn.attention import resolve
from models.nn.layers import Affine, Block, affine, lecun
from models.nn.patches import Triple
from models.nn.positions import Learned, start_of
from models.objective import Features, Params
from models.sharding import constrain, gather, shards
from models.sizes import Size

DTYPES = ('float32', 'bfloat16')
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


def backbone(
  clip: Triple,
  *,
  size: str,
  dim: int | None,
  depth: int | None,
  mlp: int | None,
  heads: int | None,
  patch: Sequence[int],
  dtype: str,
  remat: str,
  scan: bool,
  attention: str,
  positions: str,
) -> 'Backbone':
  """A backbone of a named size, see `mae.make` for the options.

  Args:
    clip: frames, height and width.
    size: a name of `models.sizes.SIZES`.
    dim: another width of the residual stream than the size's.
    depth: another number of blocks.
    mlp: another hidden width.
    heads: another number of attention heads.
    patch: see `Backbone`, as all below.
    dtype: of the arithmetic.
    remat: what the backward pass recomputes.
    scan: over the layers.
    attention: its implementation.
    positions: how their embeddings start.

  Raises:
    ValueError: an unknown name, or numbers that do not fit together.
  """
  return Backbone(
    size=sizes.get(size, width=dim, depth=depth, mlp=mlp, heads=heads),
    clip=clip,
    patch=tuple(patch),
    dtype=dtype,
    remat=remat,
    scan=scan,
    attention=attention,
    positions=positions,
  )


@dataclasses.dataclass(frozen=True)
class Backbone:
  """Tokeniser, positions and blocks of one size, for clips of one shape.

  Attributes:
    size: dimensions.
    clip: frames, height and width of a clip.
    patch: the same of a patch.
    dtype: of the arithmetic; parameters are float32.
    remat: what the backward pass recomputes, a name of REMAT.
    scan: scan over the layers (compiles in constant time), or unroll them.
    attention: see `models.nn.attention.attend`.
    positions: how the position embeddings start, a name of positions.STARTS.
  """

  size: Size
  clip: Triple
  patch: Triple
  dtype: str
  remat: str
  scan: bool
  attention: str
  positions: str

  def __post_init__(self):
    """Check.

    Raises:
      ValueError: no such `dtype`, `remat`, `attention` or `positions`, or the
        patch does not divide the clip.
    """
    choose('model.dtype', self.dtype, DTYPES)
    choose('model.remat', self.remat, REMAT)
    patches.grid(self.clip, self.patch)
    start_of(self.positions, self.grid)
    resolve(self.attention, self.tokens)

  @property
  def grid(self) -> Triple:
    """Tokens along time, height and width."""
    return patches.grid(self.clip, self.patch)

  @property
  def tokens(self) -> int:
    """Tokens of a clip."""
    t, h, w = self.grid
    return t * h * w

  @property
  def _block(self) -> Block:
    return Block(
      self.size.heads, self.size.mlp, self.dtype, self.attention, 'tokens'
    )

  def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
    """New parameters: {'encoder': ..., 'processor': {'layers': [l ...]}}."""
    embed_key, position_key, layers_key = jax.random.split(rng, 3)
    # As published: LeCun normal over all values of a patch.
    kernel = Affine((*self.patch, 3), (self.size.width,), lecun(4, 1))
    block = self._block.clone(tokens=None)  # a single one cannot be split
    # Of its input a block's parameters depend on the width alone.
    x = jnp.zeros((1, 1, self.size.width), self.dtype)
    keys = jax.random.split(layers_key, self.size.depth)
    # A key for each layer: from one, all would start alike.
    layers = jax.vmap(lambda key: block.init(key, x)['params'])(keys)
    return {
      'encoder': {
        'patch_embedding': kernel.init(embed_key)['params'],
        'posenc': self._positions.init(position_key)['params'],
      },
      'processor': {'layers': layers},
    }

  @property
  def _positions(self) -> Learned:
    start = start_of(self.positions, self.grid)
    return Learned(self.grid, self.size.width, start)

  def embed(
    self,
    encoder: Params,
    pixels: Shaped[Array, 'b n p'],
    index: Shaped[Array, 'b n'] | None = None,
  ) -> Float[Array, 'b n d']:
    """Patches to tokens with positions.

    The published convolution has stride = kernel: it is this product.

    Args:
      encoder: the parameters `params['encoder']`.
      pixels: patches in the order of `patches.patchify`, uint8 or in [0, 1].
      index: which positions of the grid they are; None: all, in order.
    """
    encoder = gather(encoder, 'encoder', self.dtype)
    leaf = encoder['patch_embedding']
    kernel = leaf['kernel'].reshape(-1, self.size.width).astype(self.dtype)
    bias = leaf['bias'].astype(self.dtype)
    # Bytes until here: in float32 they would be four times as many to move.
    x = affine(patches.to_unit(pixels, self.dtype), kernel, bias)
    table = self._positions.apply({'params': encoder['posenc']})
    # A masked token brings the place that it had in the whole grid.
    position = table if index is None else table[index]
    return x + position.astype(self.dtype)

  def run(
    self, layers: Params, x: Float[Array, 'b n d']
  ) -> Float[Array, 'b n d']:
    """Runs blocks on tokens.

    Args:
      layers: stacked parameters of the blocks to run, of any number of them:
        a slice of `params['processor']['layers']`.
      x: tokens.

    Raises:
      ValueError: tokens that the mesh cannot split.
    """
    self._check_split(x.shape[1])

    def block(x, layer):
      x = constrain(x, 'batch', 'tokens', None)
      # In here, so that what is collected is collected again in the backward
      # pass, and not kept for it.
      layer = gather(layer, 'processor/layers', self.dtype)
      return self._block.apply({'params': layer}, x)

    # Block by block: what the backward pass holds at once is that of one.
    block = rematerialised(block, self.remat, in_scan=self.scan)
    if self.scan:
      return jax.lax.scan(lambda x, layer: (block(x, layer), None), x, layers)[
        0
      ]
    for layer in unstack(layers):
      x = block(x, layer)
    return x

  def features(
    self, params: Params, video: Shaped[Array, 'b t h w 3'], depth: float
  ) -> Features:
    """What readouts read: the input of one block, over all tokens.

    The published rule: of [tokens, input of block 0, ..., input of block
    l - 1], which has l + 1 entries of which the first two are equal, the one
    at int((l + 1) * depth) - 1. The last block's output is not among them.
    Only the blocks before it are run.

    Args:
      params: of this backbone; other keys are not read.
      video: uint8, or float in [0, 1].
      depth: fraction of the depth; 0.95 in the published evaluations.

    Raises:
      ValueError: a clip of another shape, or a depth outside the list.
    """
    self.check(video.shape)
    layers = params['processor']['layers']
    run = blocks_before(self.size.depth, depth)
    # All tokens, none masked, and no latents: as in the published readouts.
    x = self.embed(params['encoder'], patches.patchify(video, self.patch))
    x = constrain(x, 'batch', 'tokens', None)
    # The blocks after the feature are not run.
    x = self.run(jax.tree.map(lambda a: a[:run], layers), x)
    return Features(rearrange(x, 'b (t n) d -> b t n d', t=self.grid[0]))

  def inputs(
    self, params: Params, video: Shaped[Array, 'b t h w 3']
  ) -> list[Float[Array, 'b n d']]:
    """The input of every block: the published list, whose first is twice there.

    The last block is not run.

    Args:
      params: of this backbone; other keys are not read.
      video: uint8, or float in [0, 1].

    Raises:
      ValueError: a clip of another shape.
    """
    self.check(video.shape)
    layers = params['processor']['layers']
    # Its output is not in the published list.
    layers = jax.tree.map(lambda a: a[:-1], layers)
    first = self.embed(params['encoder'], patches.patchify(video, self.patch))
    self._check_split(first.shape[1])

    def block(x, layer):
      x = self._block.apply(
        {'params': layer}, constrain(x, 'batch', 'tokens', None)
      )
      return x, x

    return [first, *jax.lax.scan(block, first, layers)[1]]

  def check(self, shape: tuple[int, ...]) -> None:
    """Check.

    Raises:
      ValueError: `shape` is not that of a batch of this backbone's clips.
    """
    if tuple(shape[1:]) != (*self.clip, 3):
      raise ValueError(
        f'video must be [b t h w 3] with (t, h, w)={self.clip}, got shape '
        f'{tuple(shape)}. Set model.frames, model.height and model.width to '
        "the data's, or the data's to the model's."
      )

  def _check_split(self, tokens: int) -> None:
    """Check.

    Raises:
      ValueError: the mesh splits clips, and these are not the tokens of whole
        ones, or time steps that it does not divide.
    """
    parts, steps = shards('tokens'), self.grid[0]
    if parts > 1 and tokens != self.tokens:
      raise ValueError(
        f'config.mesh.sequence={parts} splits whole clips, and blocks run on '
        f'{tokens} tokens here, of clips of {self.tokens}: masked pretraining '
        'needs no such axis. Set config.mesh.sequence=1, and share out the '
        'batch with config.mesh.fsdp'
      )
    if steps % parts:
      raise ValueError(
        f'config.mesh.sequence={parts} must divide the {steps} time steps of a '
        f'clip (model.frames={self.clip[0]} in patches of {self.patch[0]}): '
        'choose a divisor, or other frames'
      )

  def flops(self, tokens: int, blocks: int) -> float:
    """Of the forward pass of `blocks` blocks over one example's tokens.

    Projections are 4 d^2 multiply-adds per token, the MLP 2 d m, attention
    2 n d; a multiply-add is 2 operations.
    """
    width = self.size.width
    per_token = 4 * width**2 + 2 * width * self.size.mlp + 2 * tokens * width
    return 2.0 * blocks * tokens * per_token


def blocks_before(blocks: int, depth: float) -> int:
  """How many blocks run before the feature that a depth names.

  Args:
    blocks: of the backbone.
    depth: fraction, see `Backbone.features`.

  Raises:
    ValueError: the index falls outside the list.
  """
  # Cut off, not rounded, as published: entry 11 of B, 53 of e.
  index = int((blocks + 1) * depth) - 1
  if not 0 <= index <= blocks:
    raise ValueError(
      f'depth={depth} names entry {index} of {blocks + 1} features of a '
      f'backbone of {blocks} blocks: expected {1 / (blocks + 1):.3f} to 1.'
    )
  # The list has the tokens twice: its entry i is the input of block i - 1.
  return max(index - 1, 0)


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
