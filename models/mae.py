"""SimpleMAE, the pretraining of 4DS (arXiv 2412.15212), as an objective.

Of the patches of a clip, 5% are seen. The first blocks run on those; learned
latents, one per output patch, are put in front of them; the last two blocks
run on the union; a linear layer turns each latent into its pixels. Latents are
coarser than patches, so there are half as many of them.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, Shaped

from base.names import choose
from models import vit
from models.nn import patches, stack
from models.nn.layers import Affine, affine, lecun
from models.nn.patches import Triple
from models.nn.positions import Learned, start_of
from models.objective import Batch, Features, Params, row_keys
from models.sharding import gather, platform

MASKS = ('random', 'tube')
LOSS_ON = ('all', 'masked')


def make(
  *,
  size: str,
  dim: int | None,
  depth: int | None,
  mlp: int | None,
  heads: int | None,
  frames: int,
  height: int,
  width: int,
  patch: Sequence[int],
  output_patch: Sequence[int],
  mask: str,
  mask_ratio: float,
  decoder_blocks: int,
  loss_on: str,
  normalise_target: bool,
  dtype: str,
  remat: str,
  scan: bool,
  attention: str,
  positions: str,
) -> 'MAE':
  """The objective; `configs/mae.py` has the published values.

  Args:
    size: a name of `models.sizes.SIZES`.
    dim: another width of the residual stream than the size's; None, here and
      below: the size's.
    depth: another number of blocks.
    mlp: another hidden width.
    heads: another number of attention heads.
    frames: of a clip.
    height: of a clip, pixels.
    width: of a clip, pixels.
    patch: frames, height and width of an input patch.
    output_patch: the same of the patch that one latent reconstructs.
    mask: 'random' drops patches uniformly; 'tube' drops the same places in
      every frame.
    mask_ratio: fraction of the patches that are dropped.
    decoder_blocks: how many of the blocks, the last ones, see the latents.
    loss_on: 'all' pixels, or those of 'masked' patches only.
    normalise_target: reconstruct each output patch less its mean, over its
      standard deviation, in place of raw pixels.
    dtype: of the arithmetic, float32 or bfloat16; parameters, softmax and
      statistics are float32.
    remat: what the backward pass recomputes: a name of `stack.REMAT`.
    scan: scan over the layers, or unroll them.
    attention: see `models.nn.attention.attend`.
    positions: how position embeddings and latents start: 'normal' with
      deviation 0.02, as published, or 'waves', sines and cosines of the
      position (ours: short runs then need not find out first where patches
      are).

  Raises:
    ValueError: an unknown name, or numbers that do not fit together.
  """
  choose('model.mask', mask, MASKS)
  choose('model.loss_on', loss_on, LOSS_ON)
  clip = (frames, height, width)
  backbone = vit.backbone(
    clip,
    **{'size': size, 'dim': dim, 'depth': depth, 'mlp': mlp, 'heads': heads},
    **{'patch': patch, 'dtype': dtype, 'remat': remat, 'scan': scan},
    **{'attention': attention, 'positions': positions},
  )
  if not 1 <= decoder_blocks <= backbone.size.depth:
    raise ValueError(
      f'model.decoder_blocks must be 1 to {backbone.size.depth} (the depth), '
      f'got {decoder_blocks}.'
    )
  objective = MAE(
    backbone=backbone,
    output_patch=tuple(output_patch),
    output_grid=patches.grid(clip, tuple(output_patch), 'output_patch'),
    mask=mask,
    mask_ratio=mask_ratio,
    decoder_blocks=decoder_blocks,
    loss_on=loss_on,
    normalise_target=normalise_target,
  )
  _check_visible(objective)
  return objective


@dataclasses.dataclass(frozen=True)
class MAE:
  """The objective `make` makes; its options are documented there."""

  backbone: vit.Backbone
  output_patch: Triple
  output_grid: Triple
  mask: str
  mask_ratio: float
  decoder_blocks: int
  loss_on: str
  normalise_target: bool

  @property
  def visible(self) -> int:
    """Patches of a clip that are seen."""
    t, h, w = self.backbone.grid
    if self.mask == 'tube':
      # Rounded in one frame, so that every frame has as many.
      return t * round(h * w * (1 - self.mask_ratio))
    # 78 of 1568, as published.
    return round(t * h * w * (1 - self.mask_ratio))

  @property
  def latents(self) -> int:
    """Output patches of a clip, each with one learned embedding."""
    t, h, w = self.output_grid
    return t * h * w

  @property
  def _latents(self) -> Learned:
    # In cells of the input grid, so that both tables tell places alike.
    cell = tuple(
      out / patch for out, patch in zip(self.output_patch, self.backbone.patch)
    )
    start = start_of(self.backbone.positions, self.output_grid, cell)
    return Learned((self.latents,), self.backbone.size.width, start)

  @property
  def _head(self) -> Affine:
    t, h, w = self.output_patch
    return Affine((self.backbone.size.width,), (t * h * w * 3,), lecun(1, 1))

  def init(self, rng: PRNGKeyArray, batch: Batch) -> dict[str, Any]:
    """New parameters: the backbone's, the latents and the pixel head.

    Raises:
      ValueError: the batch's clips are not of the configured shape.
    """
    self.backbone.check(batch['video'].shape)
    backbone_key, latents_key, head_key = jax.random.split(rng, 3)
    return {
      **self.backbone.init(backbone_key),
      'latents': self._latents.init(latents_key)['params'],
      'head': self._head.init(head_key)['params'],
    }

  def loss(
    self,
    params: Params,
    batch: Batch,
    rng: PRNGKeyArray,
    *,
    ema=None,
    train: bool = True,
  ) -> tuple[Float[Array, ''], dict[str, Float[Array, '']]]:
    """Mean squared error of the pixels, over the batch. No metrics beside it.

    Args:
      params: as `init` makes them.
      batch: video [b t h w 3], uint8 or in [0, 1], and row [b].
      rng: one key per step; the mask of a row depends on it and on the row's
        number only.
      ema: not read.
      train: not read.
    """
    del ema, train
    video = batch['video']
    # By the row's number: micro-batches and meshes see the same masks.
    index = self.draw(row_keys(rng, batch))
    target = self._target(patches.patchify(video, self.output_patch))
    error = jnp.square(self.reconstruct(params, video, index) - target)
    if self.loss_on == 'masked':
      # Pixel by pixel: an output patch may cover seen and hidden patches.
      hidden = patches.patchify(~self._seen(index), self.output_patch)
      return jnp.mean(error, where=hidden), {}
    return jnp.mean(error), {}

  def draw(self, keys: Key[Array, 'b']) -> Int[Array, 'b v']:
    """Which patches are seen: for every key, `visible` different ones.

    The largest v of n random words, which needs no sort of all n.
    """
    t, h, w = self.backbone.grid
    places, count = t * h * w, self.visible
    if self.mask == 'tube':
      places, count = h * w, self.visible // t
    # Bits, not uniform floats: of 32 bits two are hardly ever equal.
    words = jax.vmap(lambda key: jax.random.bits(key, (places,)))(keys)
    index = jax.lax.top_k(words, count)[1]
    if self.mask == 'tube':
      # The same places in every time step, as numbers of patches.
      start = jnp.arange(t)[:, None] * places
      index = rearrange(start + index[:, None], 'b t v -> b (t v)')
    return index

  def reconstruct(
    self,
    params: Params,
    video: Shaped[Array, 'b t h w 3'],
    index: Int[Array, 'b v'],
  ) -> Float[Array, 'b s p']:
    """The output patches, float32, from the input patches `index` alone."""
    backbone = self.backbone
    first, last = stack.split(
      params['processor']['layers'],
      backbone.size.depth - self.decoder_blocks,
    )
    # Taken before they are embedded: masked patches cost one copy of bytes.
    seen = patches.take(patches.patchify(video, backbone.patch), index)
    # Most of the depth runs on one token of twenty: masking pays.
    x = backbone.run(first, backbone.embed(params['encoder'], seen, index))
    # The backbone collects its own shards; these two are only read here.
    own = {key: params[key] for key in ('latents', 'head')}
    own = gather(own, '', x.dtype)
    latents = self._latents.apply({'params': own['latents']})
    latents = repeat(latents.astype(x.dtype), 's d -> b s d', b=x.shape[0])
    # In front, as published. Attention does not see the order; the head then
    # takes the first tokens, whatever was seen.
    x = backbone.run(last, jnp.concatenate([latents, x], axis=1))
    kernel, bias = self._head.apply({'params': own['head']})
    kernel, bias = kernel.astype(x.dtype), bias.astype(x.dtype)
    pixels = affine(x[:, : self.latents], kernel, bias)
    # The loss is float32, whatever the arithmetic is.
    return pixels.astype(jnp.float32)

  def features(
    self,
    params: Params,
    video: Shaped[Array, 'b t h w 3'],
    *,
    state: Any = None,
    depth: float = 0.95,
  ) -> Features:
    """Unmasked features, without latents: see `vit.Backbone.features`."""
    del state  # each clip stands alone
    return self.backbone.features(params, video, depth)

  def flops(self, batch: Batch) -> dict[str, float]:
    """Of one step, by part: three times the forward pass.

    The patch embedding counts twice: pixels get no gradient.
    """
    clips, width = batch['video'].shape[0], self.backbone.size.width
    t, h, w = self.backbone.patch
    first = self.backbone.size.depth - self.decoder_blocks
    together = self.latents + self.visible
    forward = {
      'encoder': self.backbone.flops(self.visible, first),
      'decoder': self.backbone.flops(together, self.decoder_blocks),
      'head': 2.0 * self.latents * width * self._head.outputs[0],
    }
    step = {part: 3.0 * clips * count for part, count in forward.items()}
    # Of the patches that are seen alone: the others are never embedded.
    embedding = 2.0 * self.visible * (t * h * w * 3) * width
    return {'patchify': 2.0 * clips * embedding, **step}

  def pictures(
    self, params: Params, batch: Batch, rng: PRNGKeyArray
  ) -> dict[str, Float[Array, 'b t h w 3']]:
    """What is seen, what is reconstructed and the truth, one above another."""
    video = batch['video']
    index = self.draw(row_keys(rng, batch))
    output = self.reconstruct(params, video, index)
    truth = patches.to_unit(video, jnp.float32)
    if self.normalise_target:
      mean, deviation = patches.moments(
        patches.patchify(truth, self.output_patch)
      )
      output = output * deviation + mean
    output = patches.unpatchify(output, self.output_grid, self.output_patch)
    # What is hidden is grey.
    masked = jnp.where(self._seen(index), truth, 0.5)
    clips = [masked, jnp.clip(output, 0, 1), truth]
    return {'reconstruction': jnp.concatenate(clips, axis=2)}

  def _target(self, pixels: Shaped[Array, 'b s p']) -> Float[Array, 'b s p']:
    """What the head is to say for output patches, float32."""
    if platform() == 'tpu':
      # Or they become floats first, and four times the bytes are moved about.
      pixels = jax.lax.optimization_barrier(pixels)
    pixels = patches.to_unit(pixels, jnp.float32)
    if not self.normalise_target:
      return pixels
    # Of each patch alone, as MAE (arXiv 2111.06377) has it: texture then weighs
    # as much as brightness.
    mean, deviation = patches.moments(pixels)
    return (pixels - mean) / deviation

  def _seen(self, index: Int[Array, 'b v']) -> Bool[Array, 'b t h w 3']:
    """Which pixels are in seen patches."""
    t, h, w = self.backbone.grid
    seen = (index[..., None] == jnp.arange(t * h * w)).any(axis=1)
    pt, ph, pw = self.backbone.patch
    pattern = 'b (t h w) -> b (t pt) (h ph) (w pw) 3'
    return repeat(seen, pattern, t=t, h=h, pt=pt, ph=ph, pw=pw)


def _check_visible(objective: MAE) -> None:
  """Check.

  Raises:
    ValueError: no patch is left, or none is masked where the loss needs it.
  """
  ratio, tokens = objective.mask_ratio, objective.backbone.tokens
  if not 0 <= ratio < 1 or objective.visible < 1:
    raise ValueError(
      f'model.mask_ratio must be at least 0 and leave a patch, got {ratio}: '
      f'of {tokens} patches {max(objective.visible, 0)} are seen. Lower it, '
      'or make patches smaller.'
    )
  if objective.loss_on == 'masked' and objective.visible == tokens:
    raise ValueError(
      f"model.loss_on='masked' needs masked patches, but mask_ratio={ratio} "
      f'leaves all {tokens} visible. Raise model.mask_ratio.'
    )
