"""MooG's own readouts, which answer frame after frame.

A recurrent one for what is asked for, points or boxes: a state for each query
is carried through the video and corrected by every frame's tokens. And a dense
one, which decodes each frame from its tokens as the model decodes pixels.
Graphs and parameter counts are the published ones.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from models.moog.frames import Decoder
from models.moog.layers import Transformer
from models.nn.layers import MLP, LayerNorm, lecun
from models.readout import fourier, resize_time


class Answers(NamedTuple):
  """What a recurrent readout says."""

  values: Float[Array, 'b t q v']  # before any activation
  logits: Float[Array, 'b t q l'] | None  # visible, certain
  state: Float[Array, 'b q d']  # to go on with


class ConditionalAutoregressiveReadout(nn.Module):
  """A state for each query, corrected by each frame and carried to the next.

  state = start(asked); per frame: corrected = state + reader(state, tokens);
  state = norm(corrected + predictor(corrected)). Values and logits are of the
  corrected state. Queries do not see each other.

  Parameters: query/{dense_in,dense_out}, reader/..., predictor/..., norm/scale,
  values/..., logits/....

  Attributes:
    values: numbers that are predicted: 2 for a point, 4 for a box.
    logits: of yes and no; 0: none.
    width: of a state.
    layers: of the reader.
    heads: attention heads of the reader.
    head_dim: width of each.
    mlp: hidden width of the reader's MLPs.
    bases: wavelengths of what is asked.
    dtype: of the reader's arithmetic; the state is float32.
    attention: see `models.nn.attention.attend`.
  """

  values: int
  logits: int
  width: int
  layers: int
  heads: int
  head_dim: int
  mlp: int
  bases: int = 16
  dtype: str = 'float32'
  attention: str = 'auto'

  def setup(self):
    """Names the parts."""

    def mlp(outputs, name):
      return MLP(self.width, start=lecun(1, 1), outputs=outputs, name=name)

    self._start = mlp(self.width, 'query')
    self._predictor = mlp(self.width, 'predictor')
    self._values = mlp(self.values, 'values')
    self._logits = mlp(self.logits, 'logits') if self.logits else None
    # As the norm of the model's own state.
    self._norm = LayerNorm(epsilon=1e-4, use_bias=False, name='norm')
    self._reader = Transformer(
      layers=self.layers,
      heads=self.heads,
      head_dim=self.head_dim,
      mlp=self.mlp,
      self_attention=False,
      hidden=self.width,
      outputs=self.width,
      dtype=self.dtype,
      attention=self.attention,
      name='reader',
    )

  def __call__(
    self,
    features: Float[Array, 'b t n d'],
    asked: Float[Array, 'b q c'],
    frames: Int[Array, 'b q'] | None = None,
    state: Float[Array, 'b q e'] | None = None,
  ) -> Answers:
    """Answers for every frame.

    Args:
      features: tokens of each frame.
      asked: points or boxes, as they are in their frame.
      frames: the number of that frame in this clip, where a query's state is
        set anew; an answer before it says nothing. None: all start before the
        first frame of the video.
      state: what an earlier part of the same video left.
    """
    start = self._start(fourier(asked, self.bases))
    state = start if state is None else state
    asked_now: Bool[Array, 't b q'] = jnp.zeros(
      (features.shape[1], *start.shape[:2]), bool
    )
    if frames is not None:
      steps = jnp.arange(features.shape[1])
      asked_now = steps[:, None, None] == frames

    def body(self, state, xs):
      tokens, now = xs
      # Before its own frame a query's state means nothing, and is not judged.
      state = jnp.where(now[..., None], start, state)
      corrected = state + self._reader(state, tokens)
      state = self._norm(corrected + self._predictor(corrected))
      return state, corrected

    # A lifted scan, since the parts are named modules of this one; what a frame
    # keeps is made again in the backward pass.
    scan = nn.scan(
      nn.remat(body, prevent_cse=False),
      variable_broadcast='params',
      split_rngs={'params': False},
    )
    state, corrected = scan(self, state, (features.swapaxes(0, 1), asked_now))
    corrected = corrected.swapaxes(0, 1)
    # Of what the frame has corrected, before the step to the next one.
    logits = self._logits(corrected) if self.logits else None
    return Answers(self._values(corrected), logits, state)


class DenseReadout(nn.Module):
  """Numbers for pixels of each frame, such as depth, from its tokens.

  Parameters: those of a `Decoder`, in reader/.

  Attributes:
    layers: blocks of cross-attention.
    heads: attention heads.
    head_dim: width of each.
    mlp: hidden width of the MLPs.
    outputs: numbers of a pixel.
    bases: wavelengths of a place, along each axis.
    dtype: of the arithmetic.
    attention: see `models.nn.attention.attend`.
  """

  layers: int
  heads: int
  head_dim: int
  mlp: int
  outputs: int = 1
  bases: int = 16
  dtype: str = 'float32'
  attention: str = 'auto'

  @nn.compact
  def __call__(
    self,
    features: Float[Array, 'b t n d'],
    rows: Int[Array, 'b t h'],
    columns: Int[Array, 'b t w'],
    size: tuple[int, int],
  ) -> Float[Array, 'b t h w c']:
    """The numbers where rows and columns of each frame cross, linear.

    Args:
      features: tokens of each frame.
      rows: numbers of rows, see `pixels.places`.
      columns: numbers of columns.
      size: height and width of a frame, pixels.
    """
    look = Transformer(
      layers=self.layers,
      heads=self.heads,
      head_dim=self.head_dim,
      mlp=self.mlp,
      self_attention=False,
      dtype=self.dtype,
      attention=self.attention,
      parent=None,  # the decoder's, not ours
    )
    decoder = Decoder(look, self.bases, self.outputs, name='reader')
    inputs = (
      rearrange(x, 'b t ... -> (b t) ...') for x in (features, rows, columns)
    )
    answer = decoder(*inputs, size)
    return rearrange(answer, '(b t) ... -> b t ...', t=features.shape[1])


@dataclasses.dataclass(frozen=True)
class RecurrentHead:
  """A `ConditionalAutoregressiveReadout` as a `models.readout.Recurrent`.

  Its answers come in the order of an `AttentionReadout`: of each query one copy
  after another, each with all numbers of a few frames.

  Attributes:
    reader: the readout.
    frames: of a clip, to which features are resized.
    copies: of a query.
    timed: whether the last number that is asked for is when: the middle of the
      query's frame, from 0 to 1.
    both_ways: of what is timed, frames before the query's are read too, from
      there back to the first of the part: a reader that goes forward alone has
      not been asked yet when it sees them (ours).
  """

  reader: ConditionalAutoregressiveReadout
  frames: int
  copies: int = 1
  timed: bool = False
  both_ways: bool = False

  def init(
    self,
    rng: PRNGKeyArray,
    features: Float[Array, 'b s n d'],
    asked: Float[Array, 'b q c'],
  ) -> dict[str, Any]:
    """{'params': new parameters}, those of the reader."""
    return self.reader.init(rng, *self._inputs(features, asked))

  def apply(
    self,
    variables: dict[str, Any],
    features: Float[Array, 'b s n d'],
    asked: Float[Array, 'b q c'],
  ) -> Float[Array, 'b p outputs']:
    """What each copy of a query predicts, float32."""
    return self.carry(variables, features, asked)[0]

  def carry(
    self,
    variables: dict[str, Any],
    features: Float[Array, 'b s n d'],
    asked: Float[Array, 'b q c'],
    state: Float[Array, 'b q e'] | None = None,
  ) -> tuple[Float[Array, 'b p outputs'], Float[Array, 'b q e']]:
    """What each copy of a query predicts, and the state to go on with.

    A query that is timed may be of another part of the video: its time is then
    below 0 or above 1, and its state is not set anew here.
    """
    inputs = self._inputs(features, asked)
    found = self.reader.apply(variables, *inputs, state=state)
    numbers = _joined(found)
    if self.timed and self.both_ways:
      numbers = jnp.where(
        _is_before(inputs[2], self.frames),
        self._backwards(variables, *inputs),
        numbers,
      )
    outputs = rearrange(numbers, 'b (k t) q c -> b (q k) (t c)', k=self.copies)
    return outputs, found.state

  def _backwards(self, variables, features, asked, frames):
    """What is read from a query's frame back to the first one."""
    last = self.frames - 1
    found = self.reader.apply(
      variables, jnp.flip(features, axis=1), asked, last - frames
    )
    return jnp.flip(_joined(found), axis=1)

  def _inputs(self, features, asked):
    features, frames = resize_time(features, self.frames), None
    if self.timed:
      # The middle of frame i is (i + 0.5) / frames, which rounds down to i.
      frames = jnp.floor(asked[..., -1] * self.frames).astype(jnp.int32)
      asked = asked[..., :-1]
    return features, asked, frames


def _joined(found: Answers) -> Float[Array, 'b t q c']:
  numbers = [found.values] + [found.logits] * (found.logits is not None)
  return jnp.concatenate(numbers, axis=-1)


def _is_before(asked: Int[Array, 'b q'], frames: int) -> Bool[Array, 'b t q 1']:
  steps = jnp.arange(frames)[:, None]
  return (steps < asked[:, None])[..., None]


@dataclasses.dataclass(frozen=True)
class DenseHead:
  """A `DenseReadout` as a `models.readout.Head`.

  What it can be asked for is rows and columns of each frame; None: all pixels.

  Attributes:
    reader: the readout.
    clip: frames, height and width.
    patch: the same of what counts as one query.
    bias: added to every number.
  """

  reader: DenseReadout
  clip: tuple[int, int, int]
  patch: tuple[int, int, int]
  bias: float = 0.0

  def init(
    self, rng: PRNGKeyArray, features: Float[Array, 'b s n d'], asked: Any
  ) -> dict[str, Any]:
    """{'params': new parameters}, those of the reader."""
    del asked
    some = jnp.zeros((1, 1, 1), jnp.int32)
    return self.reader.init(rng, features[:1, :1], some, some, self.clip[1:])

  def apply(
    self,
    variables: dict[str, Any],
    features: Float[Array, 'b s n d'],
    asked: tuple[Int[Array, 'b t i'], Int[Array, 'b t j']] | None,
  ) -> Float[Array, 'b p outputs']:
    """The numbers of each patch, or of each pixel that is asked for, float32.

    Frame after frame, to save memory.
    """
    t, h, w = self.clip
    features = resize_time(features, t)
    rows, columns = asked or (
      jnp.broadcast_to(jnp.arange(size), (*features.shape[:2], size))
      for size in (h, w)
    )

    def frame(inputs):
      inputs = (x[:, None] for x in inputs)
      return self.reader.apply(variables, *inputs, (h, w))[:, 0]

    inputs = tuple(x.swapaxes(0, 1) for x in (features, rows, columns))
    # All pixels of all frames at once would each hold logits of all tokens.
    found = jax.lax.map(jax.checkpoint(frame), inputs)
    if asked:
      return rearrange(found, 't b i j c -> b (t i j) c') + self.bias
    pt, ph, pw = self.patch
    pattern = '(t pt) b (h ph) (w pw) c -> b (t h w) (pt ph pw c)'
    return rearrange(found, pattern, pt=pt, ph=ph, pw=pw) + self.bias
