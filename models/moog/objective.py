"""MooG, "Moving Off-the-Grid" (arXiv 2411.05927), as an objective.

Latent tokens, which belong to no place of the picture, are carried through a
video. At each frame they predict what comes next, and are corrected by what
came: by cross-attention to the frame's own tokens. They are trained to decode
a frame before they have seen it.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from base.names import choose
from models.moog import pictures
from models.moog.cell import VARIANTS, Cell, Pixels, State, Step
from models.moog.frames import Decoder, Encoder
from models.moog.layers import Transformer
from models.nn import patches, pixels
from models.nn.attention import resolve
from models.nn.stack import REMAT, rematerialised
from models.objective import Batch, Features, Params, row_keys
from models.sharding import shards

CHOICES = {
  'variant': tuple(VARIANTS),
  'positions': ('add', 'concat'),
  'norm': ('corrected', 'incoming'),
  'decode': ('predicted', 'carried'),
  'read': ('both', 'corrected'),
  'layout': ('free', 'grid', 'grid_recurrent'),
  'start': ('noise', 'learned', 'places'),
  'dtype': ('float32', 'bfloat16'),
  'remat': tuple(REMAT),
}


def make(
  *,
  variant: str,
  frames: int,
  height: int,
  width: int,
  layout: str,
  tokens: int,
  dim: int,
  channels: Sequence[int],
  strides: Sequence[int],
  positions: str | None = None,
  norm: str | None = None,
  decode: str | None = None,
  read: str | None = None,
  predictor_layers: int,
  predictor_heads: int,
  corrector_layers: int,
  corrector_heads: int,
  decoder_layers: int,
  decoder_heads: int,
  head_dim: int,
  mlp: int,
  encoder_bases: int,
  decoder_bases: int,
  start: str,
  start_std: float,
  loss_gradient: bool,
  stop_gradient: float,
  subsample: int,
  eval_subsample: int,
  dtype: str,
  remat: str,
  scan: bool,
  attention: str,
) -> 'MooG':
  """The objective; `configs/moog.py` has the published values.

  Args:
    variant: 'A' is the published training code, 'B' has the published weights;
      a key of VARIANTS.
    frames: of a training clip; features take any number.
    height: of a frame, pixels.
    width: of a frame, pixels.
    layout: 'free' tokens are MooG's. The other two are the paper's baselines,
      whose details are not public (ours): 'grid' takes a frame's own tokens,
      one for each place of the encoder's grid, for the state, and remembers
      nothing; 'grid_recurrent' fuses them with the predicted state of the same
      place. Both run the same blocks over them, with self-attention only.
    tokens: latent tokens; on the grid as many as its places.
    dim: width of a token.
    channels: of the encoder's convolutions, 3 x 3.
    strides: of each convolution.
    positions: see `Variant`; None, here and below: the variant's.
    norm: see `Variant`.
    decode: see `Variant`.
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
    start: what tokens are before the first frame: 'noise', drawn anew for each
      clip, so that a token learns at each clip anew what it stands for; or
      'learned' embeddings, so that it may know beforehand (ours); or such that
      start at 'places' spread over the picture, with attention that starts by
      looking there: see `start_at_places` (ours, for short runs).
    start_std: of the noise, or of 'learned' embeddings before training.
    loss_gradient: tell the corrector the gradient of the frame's error by the
      predicted state.
    stop_gradient: probability that no gradient flows back from one frame to
      the one before, for each example and frame.
    subsample: in training, one of so many rows and columns is decoded.
    eval_subsample: the same in evaluation.
    dtype: of the arithmetic, float32 or bfloat16; parameters, the carried
      state, softmax and statistics are float32.
    remat: what the backward pass recomputes of a time step, and of encoding
      frames: a name of `stack.REMAT`.
    scan: scan over time (compiles in constant time), or unroll it.
    attention: see `models.nn.attention.attend`.

  Raises:
    ValueError: an unknown name, or numbers that do not fit together.
  """
  given = {'positions': positions, 'norm': norm, 'decode': decode, 'read': read}
  given = {k: v for k, v in given.items() if v is not None}
  named = {'variant': variant, 'layout': layout, 'start': start}
  named |= {'dtype': dtype, 'remat': remat}
  for option, name in {**named, **given}.items():
    if option in CHOICES:
      choose(f'model.{option}', name, CHOICES[option])
  resolve(attention, tokens)
  chosen = dataclasses.replace(VARIANTS[variant], **given)
  inner = {'head_dim': head_dim, 'mlp': mlp}
  inner |= {'dtype': dtype, 'attention': attention}
  look = Transformer(
    decoder_layers, decoder_heads, self_attention=False, **inner
  )
  encoder = Encoder(
    channels=tuple(channels),
    strides=tuple(strides),
    positions=chosen.positions,
    bases=encoder_bases,
    dim=dim,
    dtype=dtype,
  )
  objective = MooG(
    cell=Cell(
      variant=chosen,
      layout=layout,
      size=(height, width),
      state=(tokens, dim),
      start_as=start,
      start_std=start_std,
      encoder=encoder,
      predictor=Transformer(predictor_layers, predictor_heads, **inner),
      corrector=Transformer(corrector_layers, corrector_heads, **inner),
      decoder=Decoder(look, bases=decoder_bases, outputs=3),
      loss_gradient=loss_gradient,
    ),
    frames=frames,
    stop_gradient=stop_gradient,
    subsample=subsample,
    eval_subsample=eval_subsample,
    remat=remat,
    scan=scan,
  )
  _check(objective)
  return objective


@dataclasses.dataclass(frozen=True)
class MooG:
  """The objective `make` makes; its options are documented there."""

  cell: Cell
  frames: int
  stop_gradient: float
  subsample: int
  eval_subsample: int
  remat: str
  scan: bool

  def init(self, rng: PRNGKeyArray, batch: Batch) -> dict[str, Any]:
    """New parameters, those of each part by its name.

    Raises:
      ValueError: the batch's clips are not of the configured shape.
    """
    shape = batch['video'].shape
    self.check(shape)
    if shape[1] != self.frames:
      raise ValueError(
        f'video must have model.frames={self.frames} frames, got shape '
        f"{tuple(shape)}. Set model.frames to the data's, or the data's to "
        "the model's."
      )
    return self.cell.init(rng)

  def loss(
    self,
    params: Params,
    batch: Batch,
    rng: PRNGKeyArray,
    *,
    ema=None,
    train: bool = True,
  ) -> tuple[Float[Array, ''], dict[str, Float[Array, '']]]:
    """Mean squared error of the pixels decoded, of all frames of the batch.

    The first frame is among them, as published, though nothing but noise is
    known before it. `psnr` leaves it out: of the mean error of the other
    frames, in dB. `psnr_copy` is that of the same pixels of the frame before.

    Args:
      params: as `init` makes them.
      batch: video [b t h w 3], uint8 or in [0, 1], and row [b].
      rng: one key per step; draws of a row depend on it and the row's number.
      ema: not read.
      train: whether pixels are few, and drawn, see `subsample`.
    """
    del ema
    cell, video = self.cell, batch['video']
    b, t = video.shape[:2]
    # Of each row: for shifts, for stops and for the noise it starts from.
    keys = jax.vmap(lambda key: jax.random.split(key, 3))(row_keys(rng, batch))
    factor = self.subsample if train else self.eval_subsample
    # Of [0, 1) in evaluation: the same pixels each time.
    shifts = pixels.draw(keys[:, 0], t, factor if train else 1)
    asked = self._pixels(video, shifts, factor)
    stops = jnp.zeros((t, b), bool)
    if train and self.stop_gradient:
      stops = jax.vmap(
        lambda key: jax.random.bernoulli(key, self.stop_gradient, (t,)),
        out_axes=1,
      )(keys[:, 1])

    def body(state, xs):
      encoded, asked, stop = xs
      step = cell.step(params, state, encoded, asked)
      state = step.corrected
      if self.stop_gradient:
        stop = stop[:, None, None]
        state = jnp.where(stop, jax.lax.stop_gradient(state), state)
      return state, step.error

    # Drawn anew for each clip and step, as published.
    start = cell.start(params, keys[:, 2])
    encoded = self._encode(params, video)
    _, errors = self._over_time(body, start, (encoded, asked, stops))
    before = video[:, :-1].swapaxes(0, 1)
    copied = jax.vmap(pixels.pick)(before, asked.rows[1:], asked.columns[1:])
    copied = patches.to_unit(copied, jnp.float32)
    copied -= patches.to_unit(asked.true[1:], jnp.float32)
    return jnp.mean(errors), {
      'psnr': _psnr(jnp.mean(errors[1:])),
      'psnr_copy': _psnr(jnp.mean(jnp.square(copied))),
    }

  def features(
    self,
    params: Params,
    video: Shaped[Array, 'b t h w 3'],
    *,
    state: State | None = None,
    depth: float = 0.95,
  ) -> Features:
    """Token states after each frame, and the state to go on with.

    Args:
      params: as `init` makes them.
      video: uint8, or float in [0, 1]; any number of frames.
      state: what an earlier part of the same video left; None: it starts here,
        from noise that is always the same.
      depth: not read: what readouts see of a state is `read`.

    Raises:
      ValueError: frames of another size.
    """
    del depth
    self.check(video.shape)

    def read(state, step):
      tokens = step.corrected
      if self.cell.variant.read == 'both':
        tokens = jnp.concatenate([step.predicted, tokens], axis=1)
      return tokens

    state, tokens = self._follow(params, video, state, read)
    return Features(rearrange(tokens, 't b n d -> b t n d'), state)

  def decoded(
    self, params: Params, video: Shaped[Array, 'b t h w 3']
  ) -> Float[Array, 't b s d']:
    """The states that each frame is decoded from, before it is seen."""
    return self._follow(params, video, None, lambda _, step: step.decoded)[1]

  def _follow(
    self,
    params: Params,
    video: Shaped[Array, 'b t h w 3'],
    state: State | None,
    read: Callable[[State, Step], Any],
  ) -> tuple[State, Any]:
    """Runs the steps; the last state, and what is read of each, [t ...].

    Frames are encoded as they come, so that memory does not grow with them.
    """
    cell = self.cell
    b, t = video.shape[:2]
    if state is None:
      # One draw for all: a clip's features must not depend on its batch.
      start = cell.start(params, jax.random.key(0)[None])
      state = jnp.broadcast_to(start, (b, *cell.state))
    asked = None
    if cell.loss_gradient:
      shifts = jnp.zeros((b, t, 2), jnp.int32)
      asked = self._pixels(video, shifts, self.eval_subsample)

    def body(state, xs):
      frame, asked = xs
      step = cell.step(params, state, cell.encode(params, frame), asked)
      return step.corrected, read(state, step)

    return self._over_time(body, state, (video.swapaxes(0, 1), asked))

  def flops(self, batch: Batch) -> dict[str, float]:
    """Of one step, by part: three times the forward pass.

    The first convolution counts twice: pixels get no gradient. With the loss
    gradient, the decoder counts four times. What comes after the last frame
    was decoded does not count: no loss needs it.
    """
    cell, (h, w) = self.cell, self.cell.size
    s, d = cell.state
    b, t = batch['video'].shape[:2]
    i, j = cell.encoder.grid(h, w)
    first, rest = cell.encoder.flops(h, w)
    seen = (i * j, cell.encoder.width) if cell.layout == 'free' else ()
    query = d + 4 * cell.decoder.bases
    asked = h * w // self.subsample**2
    forward = {
      'predictor': cell.predictor.flops(s, d),
      'corrector': cell.corrector.flops(s, d, *seen),
      'decoder': cell.decoder.transformer.flops(asked, query, s, d)
      + 2.0 * asked * query * cell.decoder.outputs,
    }
    if cell.loss_gradient:
      forward['corrector'] += 2.0 * s * 2 * d * d
      forward['decoder'] *= 4 / 3
    if cell.layout != 'free':
      both = d * (cell.layout == 'grid_recurrent')
      forward['corrector'] += 2.0 * s * (both + cell.encoder.width) * d
    # Where the carried state is decoded, the last prediction enters no loss.
    unused = 0 if cell.variant.decode == 'predicted' else 1
    frames = {'predictor': t - unused, 'corrector': t - 1, 'decoder': t}
    return {
      'encoder': b * (t - 1) * (2.0 * first + 3.0 * rest),
      **{part: 3.0 * b * frames[part] * forward[part] for part in frames},
    }

  def pictures(
    self, params: Params, batch: Batch, rng: PRNGKeyArray
  ) -> dict[str, Float[Array, 'b t h w 3']]:
    """See `pictures.draw`."""
    del rng
    states = self.decoded(params, batch['video'])
    return pictures.draw(self.cell, params, batch['video'], states)

  def check(self, shape: tuple[int, ...]) -> None:
    """Check.

    Raises:
      ValueError: `shape` is not that of a batch of this model's frames.
    """
    if tuple(shape[2:]) != (*self.cell.size, 3):
      raise ValueError(
        f'video must be [b t h w 3] with (h, w)={self.cell.size}, got shape '
        f"{tuple(shape)}. Set model.height and model.width to the data's, or "
        "the data's to the model's."
      )

  def _pixels(self, video, shifts, factor: int) -> Pixels:
    """Which pixels are decoded, with an axis of time first."""
    frames, shifts = video.swapaxes(0, 1), shifts.swapaxes(0, 1)
    rows, columns = pixels.places(shifts, self.cell.size, factor)
    true = jax.vmap(pixels.pick)(frames, rows, columns)
    return Pixels(true, rows, columns)

  def _encode(
    self, params: Params, video: Shaped[Array, 'b t h w 3']
  ) -> Float[Array, 't b n e']:
    """Tokens of all frames but the last, and zeros in its place.

    The last frame is decoded, but what is corrected by it enters no loss.
    """
    encode = functools.partial(self.cell.encode, params)
    b, known = video.shape[0], video[:, :-1]
    if self.remat in ('full', 'dots'):
      # These keep no convolution: one frame after another, so that the backward
      # pass holds those of one.
      _, tokens = self._over_time(
        lambda _, frame: (None, encode(frame)), None, known.swapaxes(0, 1)
      )
    else:
      encode = rematerialised(encode, self.remat, in_scan=False)
      tokens = encode(rearrange(known, 'b t h w c -> (b t) h w c'))
      tokens = rearrange(tokens, '(b t) n e -> t b n e', b=b)
    return jnp.pad(tokens, ((0, 1), (0, 0), (0, 0), (0, 0)))

  def _over_time(self, body: Callable, state: Any, xs: Any) -> tuple[Any, Any]:
    """`jax.lax.scan` of a rematerialised body, or the same unrolled.

    Raises:
      ValueError: the mesh splits clips in time.
    """
    if shards('tokens') > 1:
      raise ValueError(
        f'config.mesh.sequence={shards("tokens")} splits the tokens of a clip, '
        'and MooG sees one frame after another: set it to 1, and share out '
        'the batch with config.mesh.fsdp'
      )
    body = rematerialised(body, self.remat, in_scan=self.scan)
    if self.scan:
      return jax.lax.scan(body, state, xs)
    outputs = []
    for i in range(jax.tree.leaves(xs)[0].shape[0]):
      state, output = body(state, jax.tree.map(lambda x, i=i: x[i], xs))
      outputs.append(output)
    return state, jax.tree.map(lambda *x: jnp.stack(x), *outputs)


def _psnr(error: Float[Array, '']) -> Float[Array, '']:
  """In dB, of values in [0, 1]; finite where nothing moves."""
  # Of an error of 0 it is 100 dB, not infinite.
  return -10 * jnp.log10(jnp.maximum(error, 1e-10))


def _check(objective: MooG) -> None:
  """Check.

  Raises:
    ValueError: numbers that do not fit together.
  """
  h, w = objective.cell.size
  if objective.frames < 2:
    raise ValueError(
      f'model.frames={objective.frames} must be at least 2: the frame after '
      'the first is what is predicted.'
    )
  for option in ('subsample', 'eval_subsample'):
    factor = getattr(objective, option)
    if factor < 1 or h % factor or w % factor:
      raise ValueError(
        f'model.{option}={factor} must divide model.height={h} and '
        f'model.width={w}.'
      )
  if not 0 <= objective.stop_gradient <= 1:
    raise ValueError(
      f'model.stop_gradient={objective.stop_gradient} must be a probability.'
    )
