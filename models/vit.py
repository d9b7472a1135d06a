"""The 4DS backbone: a plain video vision transformer, as pure functions.

Layers are stacked: every parameter of `processor/layers` has a leading axis
[l]. They run by `jax.lax.scan` over `Block.apply`, not by `nn.scan`: a method
runs parts of the stack on different tokens (the first blocks on the visible
ones, the last on the union with latents; readouts stop early), and a slice of
an array is simpler than a slice of a lifted module.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
from einops import rearrange
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from base.names import choose
from models import sizes
from models.nn import patches, stack
from models.nn.attention import resolve
from models.nn.layers import Affine, Block, affine, lecun
from models.nn.patches import Triple
from models.nn.positions import Learned, start_of
from models.nn.stack import REMAT
from models.objective import Features, Params
from models.sharding import constrain, gather, shards
from models.sizes import Size

DTYPES = ('float32', 'bfloat16')


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
    layers = stack.init(
      self._block, layers_key, width=self.size.width, depth=self.size.depth
    )
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
    return stack.run(self._block, layers, x, remat=self.remat, scan=self.scan)

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
