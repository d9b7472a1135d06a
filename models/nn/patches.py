"""Video to patches and back. Patches are flattened in the order (t h w)."""

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float, Shaped

Triple = tuple[int, int, int]  # frames, height, width


def grid(clip: Triple, patch: Triple, name: str = 'patch') -> Triple:
  """How many patches a clip has along time, height and width.

  Args:
    clip: frames, height and width of the video, in frames and pixels.
    patch: the same of one patch.
    name: the option that set `patch`, for the message.

  Raises:
    ValueError: the patch does not divide the clip.
  """
  for axis, size, step in zip(('frames', 'height', 'width'), clip, patch):
    if step < 1 or size < 1 or size % step:
      raise ValueError(
        f'model.{name}={tuple(patch)} must divide the clip (frames, height, '
        f'width)={tuple(clip)}: {axis}={size} is not a multiple of {step}. '
        f'Change model.{axis} or model.{name}.'
      )
  return tuple(size // step for size, step in zip(clip, patch))


def cut(
  video: Shaped[Array, 'b _t _h _w c'], clip: Triple, patch: Triple
) -> Shaped[Array, 'b t h w c']:
  """A video without what does not fill a patch at its end: to `clip`.

  As a convolution without padding leaves it out.

  Raises:
    ValueError: it has more or fewer patches than `clip`.
  """
  sizes = video.shape[1:4]
  if any(n // step != m // step for n, m, step in zip(sizes, clip, patch)):
    raise ValueError(
      f'video of (frames, height, width)={sizes} must have as many patches of '
      f'{tuple(patch)} as {tuple(clip)}: resize it'
    )
  return video[:, : clip[0], : clip[1], : clip[2]]


def patchify(
  video: Shaped[Array, 'b t h w c'], patch: Triple
) -> Shaped[Array, 'b n p']:
  """Cuts a video into patches; p runs over (t h w c) inside a patch."""
  t, h, w = patch
  return rearrange(
    video,
    'b (t pt) (h ph) (w pw) c -> b (t h w) (pt ph pw c)',
    pt=t,
    ph=h,
    pw=w,
  )


def unpatchify(
  patches: Shaped[Array, 'b n p'], sizes: Triple, patch: Triple
) -> Shaped[Array, 'b t h w c']:
  """Inverse of `patchify`, for a grid of `sizes` patches."""
  t, h, w = patch
  return rearrange(
    patches,
    'b (t h w) (pt ph pw c) -> b (t pt) (h ph) (w pw) c',
    t=sizes[0],
    h=sizes[1],
    pt=t,
    ph=h,
    pw=w,
  )


def to_unit(values: Shaped[Array, '...'], dtype) -> Float[Array, '...']:
  """Pixels in [0, 1]: uint8 is divided by 255, floats are taken as they are."""
  if values.dtype == jnp.uint8:
    # No mean and deviation of a data set are taken off, as published.
    return values.astype(dtype) * jnp.asarray(1 / 255, dtype)
  return values.astype(dtype)


def take(
  items: Shaped[Array, 'b n p'], index: jax.Array
) -> Shaped[Array, 'b v p']:
  """Rows `index` [b v] of every example; an index must be in range."""
  return jnp.take_along_axis(
    items, index[..., None], axis=1, mode='promise_in_bounds'
  )


def moments(
  pixels: Float[Array, '*b p'],
) -> tuple[Float[Array, '*b 1'], Float[Array, '*b 1']]:
  """Mean and standard deviation of each patch; that of a flat one is not 0."""
  variance = pixels.var(-1, keepdims=True)
  # 1e-6 as MAE's code has it: patches of sky have no variance at all.
  return pixels.mean(-1, keepdims=True), jnp.sqrt(variance + 1e-6)
