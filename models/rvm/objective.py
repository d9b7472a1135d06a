"""RVM, recurrent video masked autoencoding (arXiv 2512.13684), an objective.

Frames are encoded one by one, and a recurrent core carries what they showed.
It sees the first frames of a clip whole; of frames later on, hardly anything is
seen, and all of their pixels are to be told from the states: masking is
asymmetric.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, Shaped

from models.nn import patches
from models.nn.stack import rematerialised
from models.objective import Batch, Features, Params, row_keys
from models.rvm.core import Core, State
from models.rvm.decoder import Decoder
from models.rvm.encoder import Encoder
from models.sharding import shards


@dataclasses.dataclass(frozen=True)
class RVM:
  """The objective that `options.make` makes, which documents its options."""

  encoder: Encoder
  core: Core
  decoder: Decoder
  frames: int
  sources: int
  gap: tuple[int, int]
  mask_ratio: float
  normalise_target: bool
  remat: str
  scan: bool

  @property
  def targets(self) -> int:
    """Later frames that are reconstructed."""
    return self.decoder.stack.groups

  @property
  def visible(self) -> int:
    """Patches of a target that are seen."""
    return round(self.encoder.backbone.tokens * (1 - self.mask_ratio))

  def init(self, rng: PRNGKeyArray, batch: Batch) -> dict[str, Any]:
    """New parameters: encoder, processor, core and decoder.

    Raises:
      ValueError: the batch's frames are not of the configured size.
    """
    self.check(batch['video'].shape)
    encoder, core, decoder = jax.random.split(rng, 3)
    return {
      **self.encoder.init(encoder),
      'core': self.core.init(core),
      'decoder': self.decoder.init(decoder),
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
    """Mean squared error of all pixels of the targets, over the batch.

    The metric `loss_copy` is that of the last source, taken for each target.

    Args:
      params: as `init` makes them.
      batch: video [b t h w 3], uint8 or in [0, 1], and row [b].
      rng: one key per step; draws of a row depend on it and the row's number.
      ema: not read.
      train: not read.

    Raises:
      ValueError: clips of another number of frames.
    """
    del ema, train
    video = self._patches(batch['video'])
    gaps, index = self.draw(row_keys(rng, batch))
    guess = self.reconstruct(params, video, gaps, index)
    truth = self._target(self._later(video, gaps))
    copied = self._target(video[:, self.sources - 1])[:, None]
    return jnp.mean(jnp.square(guess - truth)), {
      'loss_copy': jnp.mean(jnp.square(copied - truth))
    }

  def draw(
    self, keys: Key[Array, 'b']
  ) -> tuple[Int[Array, 'b g'], Int[Array, 'b g v']]:
    """For every key: different time gaps, in order, and what is seen of each.

    As `mae.MAE.draw` has it: the largest of random words.
    """
    least, most = self.gap
    n, frames = self.encoder.backbone.tokens, self.targets

    def one(key):
      when, where = jax.random.split(key)
      words = jax.random.bits(when, (most - least + 1,))
      gaps = least + jnp.sort(jax.lax.top_k(words, frames)[1])
      words = jax.random.bits(where, (frames, n))
      return gaps, jax.lax.top_k(words, self.visible)[1]

    return jax.vmap(one)(keys)

  def reconstruct(
    self,
    params: Params,
    video: Shaped[Array, 'b t n p'],
    gaps: Int[Array, 'b g'],
    index: Int[Array, 'b g v'],
  ) -> Float[Array, 'b g n p']:
    """The targets' patches, float32, from the sources and patches `index`.

    Args:
      params: as `init` makes them.
      video: all patches of all frames.
      gaps: of the targets.
      index: which patches of these are seen.
    """
    b = video.shape[0]
    first = rearrange(video[:, : self.sources], 'b t n p -> (b t) n p')
    later = rearrange(self._later(video, gaps), 'b g n p -> (b g) n p')
    tokens = self.encoder.encode(params, first)
    tokens = rearrange(tokens, '(b t) n d -> t b n d', b=b)
    start = self.core.start(b, tokens.shape[2])
    _, states = self._follow(params, start, tokens, lambda x: x)
    seen = rearrange(index, 'b g v -> (b g) v')
    seen = self.encoder.encode(params, later, seen)[:, 1:]
    return self.decoder.decode(
      params['decoder'],
      rearrange(seen, '(b g) v d -> b g v d', b=b),
      index,
      gaps,
      rearrange(states, 't b n d -> b (t n) d'),
    )

  def features(
    self,
    params: Params,
    video: Shaped[Array, 'b t h w 3'],
    *,
    state: State | None = None,
    depth: float = 0.95,
  ) -> Features:
    """The state after each frame without its class token, and the last state.

    Args:
      params: as `init` makes them; the decoder's are not read.
      video: uint8, or float in [0, 1]; any number of frames.
      state: what an earlier part of the same video left; None: it starts here.
      depth: not read: readouts see the state.

    Raises:
      ValueError: frames of another size.
    """
    del depth
    self.check(video.shape)
    if state is None:
      state = self.core.start(video.shape[0], self.encoder.backbone.tokens + 1)
    video = rearrange(self._cut(video), 'b t n p -> t b n p')
    # Frames are encoded as they come, so that memory does not grow with them.
    state, states = self._follow(
      params, state, video, functools.partial(self.encoder.encode, params)
    )
    return Features(rearrange(states[:, :, 1:], 't b n d -> b t n d'), state)

  def flops(self, batch: Batch) -> dict[str, float]:
    """Of one step, by part: three times the forward pass.

    The patch embedding counts twice: pixels get no gradient.
    """
    clips, encoder = batch['video'].shape[0], self.encoder
    n = encoder.backbone.tokens
    whole, parts = self.sources, self.targets
    decoder, head = self.decoder.flops(self.visible, whole * (n + 1))
    forward = {
      'encoder': whole * encoder.flops(n) + parts * encoder.flops(self.visible),
      'core': whole * self.core.flops(n + 1),
      'decoder': decoder,
      'head': head,
    }
    step = {part: 3.0 * clips * count for part, count in forward.items()}
    embedded = whole * n + parts * self.visible
    embedding = 2.0 * embedded * self.decoder.pixels * encoder.width
    return {'patchify': 2.0 * clips * embedding, **step}

  def pictures(
    self, params: Params, batch: Batch, rng: PRNGKeyArray
  ) -> dict[str, Float[Array, 'b g h w 3']]:
    """The targets of a clip, one after another.

    One above another: the last source, what is seen of the target, what is
    reconstructed, and the truth.
    """
    video = self._patches(batch['video'])
    gaps, index = self.draw(row_keys(rng, batch))
    guess = self.reconstruct(params, video, gaps, index)
    video = patches.to_unit(video, jnp.float32)
    truth = self._later(video, gaps)
    if self.normalise_target:
      mean, deviation = patches.moments(truth)
      guess = guess * deviation + mean
    n = self.encoder.backbone.tokens
    is_seen = (index[..., None] == jnp.arange(n)).any(2)[..., None]
    last = repeat(
      video[:, self.sources - 1], 'b n p -> b g n p', g=truth.shape[1]
    )
    # What is hidden is grey.
    masked = jnp.where(is_seen, truth, 0.5)
    clips = [last, masked, jnp.clip(guess, 0, 1), truth]
    return {
      'prediction': jnp.concatenate(list(map(self._whole, clips)), axis=2)
    }

  def check(self, shape: tuple[int, ...]) -> None:
    """Check.

    Raises:
      ValueError: `shape` is not that of a batch of this model's frames, or the
        mesh splits clips in time.
    """
    size = self.encoder.backbone.clip[1:]
    if tuple(shape[2:]) != (*size, 3):
      raise ValueError(
        f'video must be [b t h w 3] with (h, w)={size}, got shape '
        f"{tuple(shape)}. Set model.height and model.width to the data's, or "
        "the data's to the model's."
      )
    if shards('tokens') > 1:
      raise ValueError(
        f'config.mesh.sequence={shards("tokens")} splits the tokens of a clip, '
        'and RVM sees one frame after another: set it to 1, and share out '
        'the batch with config.mesh.fsdp'
      )

  def _patches(self, video: Shaped[Array, 'b t h w 3']):
    """The patches of a training clip, [b t n p].

    Raises:
      ValueError: it is not of the configured shape.
    """
    self.check(video.shape)
    if video.shape[1] != self.frames:
      raise ValueError(
        f'video must have model.frames={self.frames} frames, got shape '
        f"{tuple(video.shape)}. Set model.frames to the data's, or the data's "
        "to the model's."
      )
    return self._cut(video)

  def _cut(self, video: Shaped[Array, 'b t h w 3']):
    cut = patches.patchify(video, self.encoder.backbone.patch)
    return rearrange(cut, 'b (t n) p -> b t n p', t=video.shape[1])

  def _whole(self, cut: Shaped[Array, 'b g n p']):
    """The inverse of `_cut`."""
    sizes = (cut.shape[1], *self.encoder.grid)
    cut = rearrange(cut, 'b g n p -> b (g n) p')
    return patches.unpatchify(cut, sizes, self.encoder.backbone.patch)

  def _later(self, video: Shaped[Array, 'b t n p'], gaps: Int[Array, 'b g']):
    """The patches of the targets, [b g n p]."""
    number = (self.sources - 1 + gaps)[..., None, None]
    return jnp.take_along_axis(video, number, axis=1, mode='promise_in_bounds')

  def _target(self, pixels: Shaped[Array, '*b p']) -> Float[Array, '*b p']:
    """What is to be told of patches, float32."""
    pixels = patches.to_unit(pixels, jnp.float32)
    if not self.normalise_target:
      return pixels
    mean, deviation = patches.moments(pixels)
    return (pixels - mean) / deviation

  def _follow(
    self, params: Params, state: State, frames: jax.Array, encode: Callable
  ) -> tuple[State, Float[Array, 't b n d']]:
    """Runs the core over frames; the last state, and those after each.

    A time step is rematerialised without what encodes its frame, of which every
    block is already.

    Args:
      params: as `init` makes them.
      state: before the first frame.
      frames: [t ...].
      encode: a frame's tokens, of what `frames` has of it.
    """
    core = self.core.collected(params['core'])
    step = rematerialised(self.core.step, self.remat, in_scan=self.scan)

    def body(state, frame):
      state = step(core, state, encode(frame))
      return state, state

    if self.scan:
      return jax.lax.scan(body, state, frames)
    states = []
    for frame in frames:
      state, _ = body(state, frame)
      states.append(state)
    return state, jnp.stack(states)
