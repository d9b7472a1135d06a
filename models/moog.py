"""MooG, "Moving Off-the-Grid" (arXiv 2411.05927), as an objective.

A set of latent tokens, which belong to no place of the picture, is carried
through a video. Each frame they predict what comes next, and are corrected by
what came: by cross-attention to the frame's own tokens. They are trained to
decode the next frame before they have seen it.
"""

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float, Key, PRNGKeyArray, Shaped

from models import patches
from models.attention import resolve
from models.layers import LayerNorm
from models.moog_layers import Decoder, Encoder, Transformer
from models.objective import Batch, Features, Params
from models.vit import REMAT

State = Float[Array, 'b s d']


@dataclasses.dataclass(frozen=True)
class Variant:
  """In what the two published models differ.

  Attributes:
    strides: of the six convolutions.
    positions: how places enter the frame's tokens, see `Encoder`.
    norm: which state is normalised: the 'corrected' one, at the end of a step,
      so that what is carried and read is normalised; or the 'incoming' one.
    decode: the state that a frame is decoded from: the 'predicted' one; or the
      one 'carried' from the frame before, as it is.
    read: the tokens that readouts see: 'both' the predicted and the corrected
      ones of a frame, or the 'corrected' ones.
    parameters: what the model counts with the published widths.
  """

  strides: tuple[int, ...]
  positions: str
  norm: str
  decode: str
  read: str
  parameters: int


VARIANTS = {
  # The published training code.
  'A': Variant(
    strides=(1, 1, 1, 2, 1, 2),
    positions='add',
    norm='corrected',
    decode='predicted',
    read='both',
    parameters=34_726_787,
  ),
  # The published weights, and the notebook that runs them.
  'B': Variant(
    strides=(2, 1, 1, 2, 1, 1),
    positions='concat',
    norm='incoming',
    decode='carried',
    read='corrected',
    parameters=35_193_811,
  ),
}


def make(
  *,
  variant: str = 'A',
  frames: int = 8,
  height: int = 128,
  width: int = 128,
  tokens: int = 1024,
  dim: int = 512,
  channels: Sequence[int] = (64, 128, 128, 256, 256, 512),
  strides: Sequence[int] | None = None,
  positions: str | None = None,
  norm: str | None = None,
  decode: str | None = None,
  read: str | None = None,
  predictor_layers: int = 3,
  predictor_heads: int = 4,
  corrector_layers: int = 2,
  corrector_heads: int = 8,
  decoder_layers: int = 6,
  decoder_heads: int = 2,
  head_dim: int = 64,
  mlp: int = 2048,
  encoder_bases: int = 20,
  decoder_bases: int = 16,
  start_std: float = 1e-4,
  dtype: str = 'float32',
  remat: str = 'full',
  scan: bool = True,
  attention: str = 'auto',
) -> 'MooG':
  """The objective. Defaults are published, unless marked (ours).

  Args:
    variant: 'A' is the published training code, 'B' has the published weights;
      a key of VARIANTS.
    frames: of a training clip; features take any number.
    height: of a frame, pixels.
    width: of a frame, pixels.
    tokens: latent tokens.
    dim: width of a token.
    channels: of the encoder's convolutions, 3 x 3.
    strides: of each convolution, another than the variant's.
    positions: another than the variant's, as are
    norm:
    decode: and
    read: see `Variant`.
    predictor_layers: blocks of self-attention.
    predictor_heads: attention heads.
    corrector_layers: blocks of self- and cross-attention.
    corrector_heads: attention heads.
    decoder_layers: blocks of cross-attention.
    decoder_heads: attention heads.
    head_dim: width of every head.
    mlp: hidden width of every MLP.
    encoder_bases: wavelengths of a place, along each axis.
    decoder_bases: of the same.
    start_std: of the noise that tokens start as.
    dtype: of the arithmetic, float32 or bfloat16; parameters, the carried
      state, softmax and statistics are float32 (ours).
    remat: what the backward pass recomputes of a time step: a name of
      `vit.REMAT` (ours).
    scan: scan over time (compiles in constant time), or unroll it (ours).
    attention: see `models.attention.attend` (ours).

  Raises:
    ValueError: an unknown name, or numbers that do not fit together.
  """
  if variant not in VARIANTS:
    near = difflib.get_close_matches(variant, VARIANTS, n=1, cutoff=0)[0]
    raise ValueError(
      f'model.variant={variant!r} does not exist: expected one of '
      f'{", ".join(VARIANTS)}; did you mean {near!r}?'
    )
  changes = {
    'strides': None if strides is None else tuple(strides),
    **{'positions': positions, 'norm': norm, 'decode': decode, 'read': read},
  }
  chosen = dataclasses.replace(
    VARIANTS[variant], **{k: v for k, v in changes.items() if v is not None}
  )
  inner = {'head_dim': head_dim, 'mlp': mlp}
  inner |= {'dtype': dtype, 'attention': attention}
  resolve(attention, tokens)
  return MooG(
    variant=chosen,
    clip=(frames, height, width),
    state=(tokens, dim),
    start_std=start_std,
    encoder=Encoder(
      channels=tuple(channels),
      strides=chosen.strides,
      positions=chosen.positions,
      bases=encoder_bases,
      dim=dim,
      dtype=dtype,
    ),
    predictor=Transformer(predictor_layers, predictor_heads, **inner),
    corrector=Transformer(corrector_layers, corrector_heads, **inner),
    decoder=Decoder(
      Transformer(decoder_layers, decoder_heads, self_attention=False, **inner),
      bases=decoder_bases,
      outputs=3,
    ),
    remat=remat,
    scan=scan,
  )


class Step(NamedTuple):
  """The states of one frame."""

  predicted: State  # before the frame is seen
  corrected: State  # after: what is carried on


@dataclasses.dataclass(frozen=True)
class MooG:
  """The objective `make` makes; its options are documented there."""

  variant: Variant
  clip: tuple[int, int, int]
  state: tuple[int, int]
  start_std: float
  encoder: Encoder
  predictor: Transformer
  corrector: Transformer
  decoder: Decoder
  remat: str
  scan: bool

  @property
  def _norm(self) -> LayerNorm:
    # A state that starts as noise of 1e-4 is scaled up by 100 by this epsilon,
    # and not to a deviation of 1.
    return LayerNorm(epsilon=1e-4, use_bias=False)

  def init(self, rng: PRNGKeyArray, batch: Batch) -> dict[str, Any]:
    """New parameters, those of each part by its name.

    Raises:
      ValueError: the batch's clips are not of the configured shape.
    """
    del batch
    _, h, w = self.clip
    frame, state = jnp.zeros((1, h, w, 3)), jnp.zeros((1, *self.state))
    encoder, predictor, corrector, decoder = jax.random.split(rng, 4)
    seen, encoder = self.encoder.init_with_output(encoder, frame)
    place = jnp.zeros((1, 1), jnp.int32)
    made = {
      'encoder': encoder,
      'predictor': self.predictor.init(predictor, state),
      'corrector': self.corrector.init(corrector, state, seen),
      'decoder': self.decoder.init(decoder, state, place, place, (h, w)),
      'state_norm': self._norm.init(rng, state),
    }
    return {name: part['params'] for name, part in made.items()}

  def start(self, params: Params, keys: Key[Array, 'b']) -> State:
    """The tokens before the first frame: noise, one draw for every key."""
    noise = jax.vmap(lambda key: jax.random.normal(key, self.state))(keys)
    state = self.start_std * noise
    return (
      self._normalise(params, state)
      if self.variant.norm == 'corrected'
      else state
    )

  def step(
    self, params: Params, state: State, frame: Shaped[Array, 'b h w 3']
  ) -> Step:
    """Predicts, and corrects by what the frame shows.

    Args:
      params: as `init` makes them.
      state: carried from the frame before.
      frame: uint8 or in [0, 1].
    """
    seen = self._apply(params, 'encoder', patches.to_unit(frame, jnp.float32))
    if self.variant.norm == 'incoming':
      state = self._normalise(params, state)
    predicted = state + self._apply(params, 'predictor', state)
    corrected = predicted + self._apply(params, 'corrector', predicted, seen)
    if self.variant.norm == 'corrected':
      corrected = self._normalise(params, corrected)
    return Step(predicted, corrected)

  def features(
    self,
    params: Params,
    video: Shaped[Array, 'b t h w 3'],
    *,
    state: State | None = None,
  ) -> Features:
    """Token states after each frame, and the state to go on with.

    Args:
      params: as `init` makes them; the decoder's are not read.
      video: uint8, or float in [0, 1]; any number of frames.
      state: what an earlier part of the same video left; None: it starts here,
        from noise that is always the same.

    Raises:
      ValueError: frames of another size.
    """
    self.check(video.shape)
    if state is None:
      start = self.start(params, jax.random.key(0)[None])
      state = jnp.broadcast_to(start, (video.shape[0], *self.state))

    def read(state, frame):
      step = self.step(params, state, frame)
      tokens = step.corrected
      if self.variant.read == 'both':
        tokens = jnp.concatenate(step, axis=1)
      return step.corrected, tokens

    frames = rearrange(video, 'b t h w c -> t b h w c')
    state, tokens = self._over_time(read, state, frames)
    return Features(rearrange(tokens, 't b n d -> b t n d'), state)

  def check(self, shape: tuple[int, ...]) -> None:
    """Check.

    Raises:
      ValueError: `shape` is not that of a batch of this model's frames.
    """
    if tuple(shape[2:]) != (*self.clip[1:], 3):
      raise ValueError(
        f'video must be [b t h w 3] with (h, w)={self.clip[1:]}, got shape '
        f"{tuple(shape)}. Set model.height and model.width to the data's, or "
        "the data's to the model's."
      )

  def _apply(self, params: Params, part: str, *inputs):
    return getattr(self, part).apply({'params': params[part]}, *inputs)

  def _normalise(self, params: Params, state: State) -> State:
    return self._norm.apply({'params': params['state_norm']}, state)

  def _over_time(self, body: Callable, state: Any, xs: Any) -> tuple[Any, Any]:
    """`jax.lax.scan` of a rematerialised body, or the same unrolled."""
    if REMAT[self.remat] is not None:
      body = jax.checkpoint(
        body, policy=REMAT[self.remat], prevent_cse=not self.scan
      )
    if self.scan:
      return jax.lax.scan(body, state, xs)
    steps = jax.tree.leaves(xs)[0].shape[0]
    outputs = []
    for i in range(steps):
      state, output = body(state, jax.tree.map(lambda x, i=i: x[i], xs))
      outputs.append(output)
    return state, jax.tree.map(lambda *x: jnp.stack(x), *outputs)
