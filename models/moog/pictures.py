"""What MooG's tokens hold, and where they are: pictures."""

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float, Shaped

from models.moog.cell import Cell
from models.nn import patches, pca
from models.objective import Params

SHOWN = 4  # tokens whose attention is drawn


def draw(
  cell: Cell,
  params: Params,
  video: Shaped[Array, 'b t h w 3'],
  states: Float[Array, 't b s d'],
) -> dict[str, Float[Array, 'b t i w 3']]:
  """Clips in [0, 1].

  * `prediction`: each frame as it was decoded before it was seen, above the
    true one.
  * `tokens`: the first three principal components of the tokens of a clip as
    colours, at each pixel those of the tokens that it is decoded from.
  * `attention`: how much each pixel takes of a token, for a few tokens, one
    above another; the strongest in the last frame. A token that follows what
    it stands for moves with it.

  Args:
    cell: the model.
    params: its parameters.
    video: uint8 or in [0, 1].
    states: that frames are decoded from.
  """
  h, w = cell.size
  flat = rearrange(states, 't b s d -> b (t s) d')
  flat = pca.colours(flat, pca.basis(flat))
  colours = rearrange(flat, 'b (t s) c -> t b s c', t=states.shape[0])
  rows = jnp.broadcast_to(jnp.arange(h), (video.shape[0], h))
  columns = jnp.broadcast_to(jnp.arange(w), (video.shape[0], w))
  last = looks(cell, params, states[-1], rows, columns)[1]
  strongest = jax.lax.top_k(last.max(1), min(SHOWN, last.shape[-1]))[1]

  def one(xs):
    state, colour = xs
    picture, weights = looks(cell, params, state, rows, columns)
    splat = jnp.einsum('bqs,bsc->bqc', weights, colour)
    chosen = jnp.take_along_axis(weights, strongest[:, None], axis=2)
    return picture, splat, chosen

  # A frame at a time: all pixels at once attend to all tokens.
  picture, splat, chosen = jax.lax.map(one, (states, colours))
  truth = patches.to_unit(video, jnp.float32)
  predicted = jnp.clip(picture.swapaxes(0, 1), 0, 1)
  # Over the whole clip, so that a token's brightness can be followed.
  chosen = chosen / jnp.maximum(chosen.max((0, 2), keepdims=True), 1e-9)
  chosen = rearrange(chosen, 't b (h w) k -> b t (k h) w 1', h=h)
  return {
    'prediction': jnp.concatenate([predicted, truth], axis=2),
    'tokens': rearrange(splat, 't b (h w) c -> b t h w c', h=h),
    'attention': jnp.repeat(chosen, 3, axis=-1),
  }


def looks(
  cell: Cell, params: Params, state, rows, columns
) -> tuple[Float[Array, 'b h w 3'], Float[Array, 'b q s']]:
  """The decoded frame, and what each pixel takes of each token.

  That is the attention of the decoder's last block, mean over its heads.
  """
  # Attention's weights are nowhere whole in a kernel: they are made again of
  # what goes into it.
  names = ('query_norm', 'key_norm')
  picture, kept = cell.decoder.apply(
    {'params': params['decoder']},
    *(state, rows, columns, cell.size),
    capture_intermediates=lambda module, _: module.name in names,
    mutable=['intermediates'],
  )
  last = f'layer_{cell.decoder.transformer.layers - 1}'
  kept = kept['intermediates']['transformer'][last]['cross_attention']
  query, key = (kept[name]['__call__'][0] for name in names)
  logits = jnp.einsum('bqke,bske->bkqs', query, key) * key.shape[-1] ** -0.5
  return picture, jax.nn.softmax(logits.astype(jnp.float32)).mean(1)
