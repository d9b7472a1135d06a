"""Labels of places, carried from frame to frame by likeness of features.

A place of a frame takes the labels of the places that it is most like, of the
first frame and of those just before it, as in the code of DINO (arXiv
2104.14294), CRW (arXiv 2006.14613) and RVM (arXiv 2512.13684).
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

_AT_ONCE = 2**24  # likenesses of places in memory (ours): 64 MB


@dataclasses.dataclass(frozen=True)
class Options:
  """How labels are carried.

  Attributes:
    context: frames before the present one that are looked at beside the first.
    neighbourhood: how far from its own place a place looks, in places; 0:
      everywhere.
    topk: places whose labels are taken.
    temperature: of the softmax over them.
    disc: look within a circle, of less than the distance, not a square.
    first_everywhere: look at all of the first frame.
  """

  context: int
  neighbourhood: int
  topk: int
  temperature: float
  disc: bool = False
  first_everywhere: bool = False

  def __post_init__(self):
    """Refuses what cannot be.

    Raises:
      ValueError: it cannot.
    """
    for name, least in (('context', 0), ('neighbourhood', 0), ('topk', 1)):
      if getattr(self, name) < least:
        raise ValueError(
          f'--{name}={getattr(self, name)} must be {least} or more'
        )
    if not self.temperature > 0:
      raise ValueError(f'--temperature={self.temperature} must be above 0')


class Seen(NamedTuple):
  """What later frames take labels from."""

  features: Float[Array, 's n d']  # the first frame, then those before
  labels: Float[Array, 's n c']
  count: Int[Array, '']  # frames so far


def start(
  features: Float[Array, 'n d'], labels: Float[Array, 'n c'], context: int
) -> Seen:
  """Before the first frame is looked at.

  Args:
    features: of the first frame.
    labels: of its places, such as the share of each object.
    context: see `Options`.
  """

  def room(x):
    return jnp.zeros((1 + context, *x.shape), jnp.float32).at[0].set(x)

  return Seen(room(unit(features)), room(labels), jnp.zeros((), jnp.int32))


def unit(x: Float[Array, '*s d']) -> Float[Array, '*s d']:
  """Features of length 1; of 0 where they are 0."""
  x = x.astype(jnp.float32)
  square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))


@functools.partial(jax.jit, static_argnames=('grid', 'options'))
def advance(
  seen: Seen,
  features: Float[Array, 't n d'],
  *,
  grid: tuple[int, int],
  options: Options,
) -> tuple[Seen, Float[Array, 't n c']]:
  """The labels of the frames that come next.

  Args:
    seen: so far.
    features: of the frames, in order.
    grid: rows and columns of places.
    options: how.
  """

  def one(seen, features):
    labels = _labels(seen, features, grid, options)
    count = seen.count + 1
    if options.context:
      # The first frame has its own room, and is not among those before.
      place = jnp.where(count > 1, 1 + (count - 2) % options.context, 0)
      keep = count > 1
      features, kept = (
        old.at[place].set(jnp.where(keep, new, old[place]))
        for old, new in ((seen.features, features), (seen.labels, labels))
      )
      seen = Seen(features, kept, count)
    return seen._replace(count=count), labels

  return jax.lax.scan(one, seen, unit(features))


def _labels(
  seen: Seen,
  features: Float[Array, 'n d'],
  grid: tuple[int, int],
  options: Options,
) -> Float[Array, 'n c']:
  """The labels of one frame."""
  frames, places, _ = seen.features.shape
  rows, columns = (
    axis.reshape(-1) for axis in jnp.indices(grid, dtype=jnp.int32)
  )
  # Of the frames before there are none at first.
  frame = jnp.arange(frames)
  there = (frame == 0) | (frame < seen.count)
  keys = seen.features.reshape(frames * places, -1)
  known = seen.labels.reshape(frames * places, -1)
  topk = min(options.topk, frames * places)

  def block(asked):
    query, row, column = asked
    like = query @ keys.T / options.temperature
    may = jnp.ones((len(query), frames, places), bool)
    if options.neighbourhood:
      down, right = row[:, None] - rows, column[:, None] - columns
      if options.disc:
        near = down**2 + right**2 < options.neighbourhood**2
      else:
        far = jnp.maximum(jnp.abs(down), jnp.abs(right))
        near = far <= options.neighbourhood
      anywhere = options.first_everywhere & (frame == 0)
      may &= near[:, None] | anywhere[:, None]
    may &= there[:, None]
    like = jnp.where(may.reshape(like.shape), like, -jnp.inf)
    best, which = jax.lax.top_k(like, topk)
    # Where fewer than these may be looked at, the others weigh nothing.
    weight = jax.nn.softmax(best, axis=-1)
    return jnp.einsum('qk,qkc->qc', weight, known[which])

  size = min(places, max(1, _AT_ONCE // len(keys)))
  blocks = -(-places // size)

  def cut(x):
    more = [(0, blocks * size - places)] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, more).reshape(blocks, size, *x.shape[1:])

  found = jax.lax.map(block, (cut(features), cut(rows), cut(columns)))
  return found.reshape(blocks * size, -1)[:places]


@functools.partial(jax.jit, static_argnames=('grid', 'size', 'stretch'))
def pixels(
  labels: Float[Array, 't n c'],
  *,
  grid: tuple[int, int],
  size: tuple[int, int],
  stretch: bool,
) -> UInt8[Array, 't h w']:
  """The largest label of each pixel, bilinear between the places.

  Args:
    labels: of the places.
    grid: rows and columns of places.
    size: height and width, pixels.
    stretch: bring each label of a frame to 0 to 1 first, as DINO's code does.
  """

  def one(frame):
    found = frame.reshape(*grid, -1)
    found = jax.image.resize(
      found, (*size, found.shape[-1]), 'linear', antialias=False
    )
    if stretch:
      least, most = (end(found, axis=(0, 1)) for end in (jnp.min, jnp.max))
      wide = jnp.where(most > least, most - least, 1)
      # What is nowhere stays at nothing.
      found = jnp.where(most > 0, (found - least) / wide, found)
    return jnp.argmax(found, axis=-1).astype(jnp.uint8)

  return jax.lax.map(one, labels)
