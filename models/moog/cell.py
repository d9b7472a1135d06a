"""One time step of MooG: predict, decode what is predicted, correct.

Frames become tokens before it, by `Cell.encode`, which needs no state.

Both published variants are this step; they differ in where the state is
normalised, what is decoded and how frames are encoded. So do the two baselines
on the grid, which differ in how a frame gets into the state.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.nn import initializers
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, Shaped

from models.moog.frames import Decoder, Encoder
from models.moog.layers import Linear, Transformer
from models.moog.start_at_places import start_at_places
from models.nn import patches
from models.nn.layers import LayerNorm
from models.nn.positions import Learned
from models.objective import Params

State = Float[Array, 'b s d']


@dataclasses.dataclass(frozen=True)
class Variant:
  """In what the two published models differ, but for their strides.

  Attributes:
    positions: how places enter a frame's tokens: 'add' or 'concat', see
      `Encoder`.
    norm: which state is normalised: the 'corrected' one, at the end of a step,
      so that what is carried and read is normalised; or the 'incoming' one, at
      its start.
    decode: the state that a frame is decoded from: the 'predicted' one; or the
      one 'carried' from the frame before, as it is.
    read: the tokens that readouts see: 'both' the predicted and the corrected
      ones of a frame, or the 'corrected' ones.
  """

  positions: str
  norm: str
  decode: str
  read: str


VARIANTS = {
  # The published training code.
  'A': Variant(
    positions='add',
    norm='corrected',
    decode='predicted',
    read='both',
  ),
  # The published weights, and the notebook that runs them.
  'B': Variant(
    positions='concat',
    norm='incoming',
    decode='carried',
    read='corrected',
  ),
}


class Pixels(NamedTuple):
  """Some pixels of a frame."""

  true: Shaped[Array, 'b i j 3']  # uint8 or in [0, 1]
  rows: Int[Array, 'b i']
  columns: Int[Array, 'b j']


class Step(NamedTuple):
  """What a step makes of a frame."""

  predicted: State  # before the frame is seen
  corrected: State  # after: what is carried on
  decoded: State  # the one that pixels are decoded from
  error: Float[Array, 'b'] | None = None  # mean square, of the pixels


@dataclasses.dataclass(frozen=True)
class Cell:
  """The parts of a model, and how a step runs them.

  Attributes:
    variant: of the two published.
    layout: 'free' tokens; or 'grid' and 'grid_recurrent', see `moog.make`.
    size: height and width of a frame, pixels.
    state: tokens, and their width.
    start_as: what tokens are before the first frame, see `moog.make`.
    start_std: of the noise, or of 'learned' embeddings before training.
    encoder: of frames.
    predictor: of the next state.
    corrector: of the predicted state.
    decoder: of pixels; None: there are only features.
    loss_gradient: whether the corrector is told how the error depends on the
      predicted state.
  """

  variant: Variant
  layout: str
  size: tuple[int, int]
  state: tuple[int, int]
  start_as: str
  start_std: float
  encoder: Encoder
  predictor: Transformer
  corrector: Transformer
  decoder: Decoder | None
  loss_gradient: bool

  def __post_init__(self):
    """Check.

    Raises:
      ValueError: parts that do not fit together.
    """
    strides, channels = self.encoder.strides, self.encoder.channels
    if len(strides) != len(channels):
      raise ValueError(
        f'model.strides={strides} must have one number for each of '
        f'model.channels={channels}.'
      )
    if self.loss_gradient and (
      self.layout != 'free' or self.variant.decode != 'predicted'
    ):
      raise ValueError(
        'model.loss_gradient=True needs model.layout=free and '
        f'model.decode=predicted, got {self.layout} and '
        f'{self.variant.decode}: it is the gradient by the predicted state.'
      )
    if self.start_as == 'places' and self.decoder.bases > self.encoder.bases:
      raise ValueError(
        f'model.start=places: model.decoder_bases={self.decoder.bases} must '
        f'not be above model.encoder_bases={self.encoder.bases}: tokens have '
        'the places of both.'
      )
    i, j = self.encoder.grid(*self.size)
    if self.layout != 'free' and self.state[0] != i * j:
      raise ValueError(
        f'model.layout={self.layout!r} has a token for each of the {i} x {j} '
        f'places of a frame, got model.tokens={self.state[0]}: set it to '
        f'{i * j}.'
      )

  @property
  def _norm(self) -> LayerNorm:
    # A state that starts as noise of 1e-4 is scaled up by 100 by this epsilon,
    # and not to a deviation of 1.
    return LayerNorm(epsilon=1e-4, use_bias=False)

  @property
  def _start(self) -> Learned:
    tokens, width = self.state
    table = initializers.normal(self.start_std)
    return Learned((tokens,), width, table)

  @property
  def _gradient(self) -> Linear:
    return Linear((self.state[1],))

  @property
  def _fuse(self) -> Linear:
    return Linear((self.state[1],))

  def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
    """New parameters, those of each part by its name."""
    frame = jnp.zeros((1, *self.size, 3))
    state = jnp.zeros((1, *self.state))
    # A predicted state and its slope.
    pair = jnp.concatenate([state, state], axis=-1)
    place = jnp.zeros((1, 1), jnp.int32)
    keys = iter(jax.random.split(rng, 8))
    # What it gives says how wide the corrector's keys are.
    seen, encoder = self.encoder.init_with_output(next(keys), frame)
    made = {
      'encoder': encoder,
      'predictor': self.predictor.init(next(keys), state),
      'corrector': self.corrector.init(
        next(keys), state, seen if self.layout == 'free' else None
      ),
      'decoder': self.decoder.init(next(keys), state, place, place, self.size),
      'state_norm': self._norm.init(next(keys), state),
    }
    if self.start_as != 'noise':
      # Noise, as published, has no parameters.
      made['start'] = self._start.init(next(keys))
    if self.loss_gradient:
      made['gradient'] = self._gradient.init(next(keys), pair)
    # The grid's baselines fuse a frame in by one linear layer.
    if self.layout != 'free':
      parts = [state, seen] if self.layout == 'grid_recurrent' else [seen]
      made['fuse'] = self._fuse.init(
        next(keys), jnp.concatenate(parts, axis=-1)
      )
    params = {name: part['params'] for name, part in made.items()}
    if self.start_as != 'places':
      return params
    return start_at_places(
      params, encoder=self.encoder, size=self.size, bases=self.decoder.bases
    )

  def start(self, params: Params, keys: Key[Array, 'b']) -> State:
    """The tokens before the first frame, for every key: a draw, if of noise."""
    if self.start_as != 'noise':
      table = self._start.apply({'params': params['start']})
      state = jnp.broadcast_to(table, (*keys.shape, *self.state))
    else:
      noise = jax.vmap(lambda key: jax.random.normal(key, self.state))(keys)
      state = self.start_std * noise
    # Variant A carries a normalised state, and starts with one.
    if self.variant.norm == 'corrected':
      return self._normalise(params, state)
    return state

  def encode(
    self, params: Params, frames: Shaped[Array, 'b h w 3']
  ) -> Float[Array, 'b n e']:
    """Tokens of frames, uint8 or in [0, 1], on the encoder's grid."""
    # Pixels in float32: the encoder casts to the arithmetic's dtype itself.
    unit = patches.to_unit(frames, jnp.float32)
    return self._apply(params, 'encoder', unit)

  def step(
    self,
    params: Params,
    state: State,
    encoded: Float[Array, 'b n e'],
    pixels: Pixels | None = None,
  ) -> Step:
    """Predicts, decodes and compares, and corrects by what the frame shows.

    Args:
      params: as `init` makes them.
      state: carried from the frame before.
      encoded: the frame's own tokens, of `encode`.
      pixels: of this frame, to be decoded and compared; None: nothing is.
    """
    # Variant B decodes this, as it is before its norm.
    carried = state
    if self.variant.norm == 'incoming':
      state = self._normalise(params, state)
    # A transformer ends in a norm: the state is added out here.
    predicted = state + self._apply(params, 'predictor', state)
    decoded = predicted if self.variant.decode == 'predicted' else carried
    error = slope = None
    if self.loss_gradient:

      def total(decoded):
        error = self._error(params, decoded, pixels)
        # Not the mean: a clip's slope must not depend on the batch.
        return jnp.sum(error), error

      slope, error = jax.grad(total, has_aux=True)(decoded)
    elif pixels is not None:
      error = self._error(params, decoded, pixels)
    corrected = self._correct(params, predicted, encoded, slope)
    if self.variant.norm == 'corrected':
      corrected = self._normalise(params, corrected)
    return Step(predicted, corrected, decoded, error)

  def decode(
    self,
    params: Params,
    state: State,
    rows: Int[Array, 'b i'],
    columns: Int[Array, 'b j'],
  ) -> Float[Array, 'b i j 3']:
    """The pixels where rows and columns cross, in [0, 1] if all is well."""
    return self._apply(params, 'decoder', state, rows, columns, self.size)

  def _error(self, params: Params, state: State, pixels: Pixels):
    true = patches.to_unit(pixels.true, jnp.float32)
    guess = self.decode(params, state, pixels.rows, pixels.columns)
    return jnp.mean(jnp.square(guess - true), axis=(1, 2, 3))

  def _correct(self, params: Params, predicted: State, encoded, slope):
    # Tokens of no place ask the frame; those of a grid are fused with it.
    if self.layout == 'free':
      query = predicted
      if slope is not None:
        # An input, as published: no second derivatives.
        pair = [predicted, jax.lax.stop_gradient(slope)]
        query = self._apply(params, 'gradient', jnp.concatenate(pair, axis=-1))
        query = checkpoint_name(query, 'projected')
      return predicted + self._apply(params, 'corrector', query, encoded)
    if self.layout == 'grid_recurrent':
      encoded = jnp.concatenate([predicted, encoded], axis=-1)
    fused = self._apply(params, 'fuse', encoded)
    fused = checkpoint_name(fused, 'projected')
    return fused + self._apply(params, 'corrector', fused)

  def _apply(self, params: Params, part: str, *inputs):
    own = {'gradient': '_gradient', 'fuse': '_fuse'}
    module = getattr(self, own.get(part, part))
    return module.apply({'params': params[part]}, *inputs)

  def _normalise(self, params: Params, state: State) -> State:
    return self._norm.apply({'params': params['state_norm']}, state)
