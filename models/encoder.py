"""Encoders that others have trained, as backbones that readouts read.

What they have in common: patches to tokens with positions, pre-norm blocks, and
often a norm behind the last one. They are read out or fine-tuned, and not
pretrained: `loss` refuses. `models/published/hf` makes runs of their files;
mean and deviation of their pixels are then part of the patch embedding, so that
video is uint8 or in [0, 1], as everywhere here.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from base.names import choose
from models.nn import patches, positions, stack
from models.nn.attention import resolve
from models.nn.layers import Affine, Block, LayerNorm, affine, lecun
from models.nn.patches import Triple
from models.nn.positions import Learned
from models.nn.rotary import Rotary
from models.objective import Batch, Features, Params
from models.sharding import constrain, gather, shards
from models.sizes import Size
from models.vit import DTYPES

POSITIONS = ('sines', 'rotary', 'learned')
# A float of a picture that was resized may leave [0, 1] by a rounding.
_SLACK = 1e-3


@dataclasses.dataclass(frozen=True)
class Encoder:
  """One of them: an objective that is read out alone.

  Attributes:
    name: of the module of `models/` that made it, for messages.
    size: dimensions.
    clip: frames, height and width of a clip.
    patch: the same of a patch.
    positions: 'sines', a fixed table over the flattened grid that is added to
      the tokens; 'rotary', turns of queries and keys in every block; or
      'learned', a table of `table` places that is resized to a frame's.
    epsilon: of all norms.
    key_bias: whether keys have a bias.
    norm: whether a norm follows the last block.
    dtype: of the arithmetic, see `mae.make`, as all below.
    remat: what the backward pass recomputes.
    scan: over the layers.
    attention: its implementation.
    by_frame: each frame is a picture of its own.
    table: rows and columns of a learned table.
    smooth: whether it is resized with `antialias`, see `positions.bicubic`.
    extra: tokens before those of a frame, of which features have none: one for
      the class, then registers; 0: not even that one.
    gated: see `MLP`.
  """

  name: str
  size: Size
  clip: Triple
  patch: Triple
  positions: str
  epsilon: float
  key_bias: bool
  norm: bool
  dtype: str
  remat: str
  scan: bool
  attention: str
  by_frame: bool = False
  table: tuple[int, int] | None = None
  smooth: bool = False
  extra: int = 0
  gated: bool = False

  def __post_init__(self):
    """Check.

    Raises:
      ValueError: an unknown name, or the patch does not divide the clip.
    """
    choose('model.dtype', self.dtype, DTYPES)
    choose('model.remat', self.remat, stack.REMAT)
    choose('model.positions', self.positions, POSITIONS)
    resolve(self.attention, self._together)

  @property
  def grid(self) -> Triple:
    """Tokens of a clip along time, height and width."""
    return patches.grid(self.clip, self.patch)

  @property
  def _together(self) -> int:
    """Tokens that attend to each other."""
    t, h, w = self.grid
    return self.extra + (1 if self.by_frame else t) * h * w

  @property
  def _block(self) -> Block:
    return Block(
      *(self.size.heads, self.size.mlp, self.dtype, self.attention, 'tokens'),
      epsilon=self.epsilon,
      exact=True,  # GELU by the error function, all of them
      key_bias=self.key_bias,
      turn=Rotary(self.grid) if self.positions == 'rotary' else None,
      gated=self.gated,
    )

  @property
  def _tables(self) -> dict[str, Learned]:
    """What is learned beside the patch embedding, by its name."""
    width, found = self.size.width, {}
    if self.positions == 'learned':
      found['posenc'] = Learned((1, *self.table), width)
    if self.extra:
      found['class_token'] = Learned((1,), width)
    if self.extra > 1:
      found['registers'] = Learned((self.extra - 1,), width)
    return found

  @property
  def _norm(self) -> LayerNorm:
    return LayerNorm(self.dtype, self.epsilon)

  def init(self, rng: PRNGKeyArray, batch: Batch) -> dict[str, Any]:
    """New parameters, as `models/vit.py` starts them.

    Raises:
      ValueError: the batch's clips are not this encoder's.
    """
    self.check(batch['video'])
    embed_key, layers_key, rest_key = jax.random.split(rng, 3)
    width, depth = self.size.width, self.size.depth
    kernel = Affine((*self.patch, 3), (width,), lecun(4, 1))
    encoder = {'patch_embedding': kernel.init(embed_key)['params']}
    for name, key in zip(self._tables, jax.random.split(rest_key, 3)):
      encoder[name] = self._tables[name].init(key)['params']
    processor = {
      'layers': stack.init(self._block, layers_key, width=width, depth=depth)
    }
    if self.norm:
      x = jnp.zeros((1, width))
      processor['norm'] = self._norm.init(rest_key, x)['params']
    return {'encoder': encoder, 'processor': processor}

  def loss(
    self,
    params: Params,
    batch: Batch,
    rng: PRNGKeyArray,
    *,
    ema=None,
    train: bool = True,
  ):
    """Refuses: how it was pretrained is not here.

    Raises:
      ValueError: always.
    """
    del params, batch, rng, ema, train
    raise ValueError(
      f'model.name={self.name!r} is an encoder that is read out, and not '
      'pretrained here: train readouts of it, or fine-tune it with them '
      '(finetune=0.1): python -m evals --checkpoint=RUN '
      '--config=configs/readout.py:task=...'
    )

  def features(
    self,
    params: Params,
    video: Shaped[Array, 'b t h w 3'],
    *,
    state: Any = None,
    depth: float = 0.95,
  ) -> Features:
    """Its hidden state number int((l + 1) * depth) - 1, of 0 .. l.

    Number i is the input of block i, as `hidden_states[i]` of transformers;
    number l, of depth=1, is the output of the last block, behind the last norm
    where there is one: `last_hidden_state`.

    Args:
      params: as `init` makes them.
      video: uint8, or float in [0, 1]; floats beyond it are refused, or, where
        the values are not known yet, under jit, make features NaN.
      state: not read, each clip stands alone.
      depth: fraction of the depth.

    Raises:
      ValueError: clips of another shape, dtype or range, a depth outside the
        list, or a mesh that splits clips where they cannot be split.
    """
    del state
    self.check(video)
    self._check_split()
    blocks = self.hidden_state(depth)
    x = self._embed(params['encoder'], video)
    processor = params['processor']
    # The blocks after the feature are not run.
    layers = jax.tree.map(lambda a: a[:blocks], processor['layers'])
    x = stack.run(self._block, layers, x, remat=self.remat, scan=self.scan)
    if self.norm and blocks == self.size.depth:
      x = self._norm.apply({'params': processor['norm']}, x)
    pattern = (
      '(b t) n d -> b t n d' if self.by_frame else 'b (t n) d -> b t n d'
    )
    return Features(rearrange(x[:, self.extra :], pattern, t=self.grid[0]))

  def hidden_state(self, depth: float) -> int:
    """The number of the hidden state that a depth names: blocks before it.

    Raises:
      ValueError: it is none of 0 .. l.
    """
    blocks = self.size.depth
    index = int((blocks + 1) * depth) - 1
    if not 0 <= index <= blocks:
      raise ValueError(
        f'depth={depth} names hidden state {index} of 0 to {blocks} of model '
        f'{self.name!r}: expected {1 / (blocks + 1):.3f} to 1.'
      )
    return index

  def says(self, depth: float) -> str:
    """Which features a depth names, in words."""
    index, last = self.hidden_state(depth), self.size.depth
    what = f'hidden state {index} of 0 to {last}'
    if index < last:
      return f'{what}, before block {index} and any last norm'
    return f'{what}, behind the last {"norm" if self.norm else "block"}'

  def _embed(
    self, encoder: Params, video: Shaped[Array, 'b t h w 3']
  ) -> Float[Array, '_ n d']:
    """Patches to tokens, with positions; of each frame, if by frame."""
    pixels = patches.patchify(video, self.patch)
    if video.dtype != jnp.uint8:
      pixels = _nan_beyond_unit(pixels)
    encoder = gather(encoder, 'encoder', self.dtype)
    leaf, width = encoder['patch_embedding'], self.size.width
    kernel = leaf['kernel'].reshape(-1, width).astype(self.dtype)
    bias = leaf['bias'].astype(self.dtype)
    x = affine(patches.to_unit(pixels, self.dtype), kernel, bias)
    if self.positions == 'sines':
      # Not learned, and in no file.
      x = x + jnp.asarray(positions.sines(x.shape[1], width), self.dtype)
    if self.by_frame:
      x = rearrange(x, 'b (t n) d -> (b t) n d', t=self.grid[0])
    if self.positions == 'learned':
      x = x + self._resized(encoder['posenc']['embeddings']).astype(self.dtype)
    if self.extra:
      before = [
        encoder[name]['embeddings'].astype(self.dtype)
        for name in ('class_token', 'registers')[: self.extra]
      ]
      before = jnp.concatenate(before)
      before = jnp.broadcast_to(before, (len(x), *before.shape))
      x = jnp.concatenate([before, x], axis=1)
    return constrain(x, 'batch', 'tokens', None)

  def _resized(self, table: Float[Array, '1 i j d']) -> Float[Array, 'n d']:
    """A learned table at the places of a frame's tokens, float32."""
    _, h, w = self.grid
    rows, columns = self.table
    down = positions.bicubic(rows, h, smooth=self.smooth)
    across = positions.bicubic(columns, w, smooth=self.smooth)
    exact = jax.lax.Precision.HIGHEST
    table = jnp.einsum('hi,ijd->hjd', down, table[0], precision=exact)
    table = jnp.einsum('wj,hjd->hwd', across, table, precision=exact)
    return table.reshape(h * w, -1)

  def flops(self, batch: Batch) -> dict[str, float]:
    """Of one step in which all of it is fine-tuned, by part.

    The patch embedding counts twice: pixels get no gradient.
    """
    clips = batch['video'].shape[0]
    t, h, w = self.grid
    width, together = self.size.width, self._together
    products = (3 if self.gated else 2) * self.size.mlp
    per_token = 4 * width**2 + width * products + 2 * together * width
    tokens = together * (t if self.by_frame else 1)
    forward = 2.0 * self.size.depth * tokens * per_token
    embedding = 2.0 * t * h * w * np.prod(self.patch) * 3 * width
    return {
      'patchify': 2.0 * clips * float(embedding),
      'encoder': 3.0 * clips * forward,
    }

  def pictures(
    self, params: Params, batch: Batch, rng: PRNGKeyArray
  ) -> dict[str, Float[Array, 'b t h w 3']]:
    """None: it has nothing to show of itself."""
    del params, batch, rng
    return {}

  def check(self, video: Any) -> None:
    """Check.

    Args:
      video: an array, or anything with its shape and dtype.

    Raises:
      ValueError: not a batch of this encoder's clips, channels last, in bytes
        or floats of [0, 1].
    """
    shape, clip = tuple(video.shape), (*self.clip, 3)
    if shape[1:] != clip:
      t, h, w, c = clip
      moved = shape[1:] in ((t, c, h, w), (c, t, h, w))
      raise ValueError(
        f'model {self.name!r} takes video [b t h w 3] with (t, h, w)='
        f'{self.clip}, got shape {shape}: '
        + ('move its channels last' if moved else 'resize it, or leave the ')
        + ('' if moved else "size of the source's clips to the model")
      )
    if video.dtype != jnp.uint8 and not jnp.issubdtype(
      video.dtype, jnp.floating
    ):
      raise ValueError(
        f'model {self.name!r} takes video of uint8 or of floats in [0, 1], got '
        f'{video.dtype}'
      )
    is_known = isinstance(video, np.ndarray | jax.Array) and not isinstance(
      video, jax.core.Tracer
    )
    if is_known and video.dtype != jnp.uint8:
      low, high = float(jnp.min(video)), float(jnp.max(video))
      if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise ValueError(
          f'model {self.name!r} takes floats in [0, 1], got {low:g} to '
          f'{high:g}: divide pixels by 255, and take off no mean, which is '
          'part of the model'
        )

  def _check_split(self) -> None:
    parts, steps = shards('tokens'), self.grid[0]
    if self.by_frame and parts > 1:
      raise ValueError(
        f'config.mesh.sequence={parts} splits clips, of which model '
        f'{self.name!r} sees each frame alone: set config.mesh.sequence=1, and '
        'share out the batch with config.mesh.fsdp'
      )
    if steps % parts:
      raise ValueError(
        f'config.mesh.sequence={parts} must divide the {steps} time steps of a '
        f'clip (model.frames={self.clip[0]} in patches of {self.patch[0]}): '
        'choose a divisor'
      )


def _nan_beyond_unit(
  pixels: Shaped[Array, 'b n p'],
) -> Shaped[Array, 'b n p']:
  """Clips of floats, each NaN if it leaves [0, 1]: loud, under jit too."""
  low, high = pixels.min((1, 2)), pixels.max((1, 2))
  is_good = (low >= -_SLACK) & (high <= 1 + _SLACK)
  return jnp.where(is_good[:, None, None], pixels, jnp.nan)
