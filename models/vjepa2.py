"""V-JEPA 2 (arXiv 2506.09985), an encoder of others that is read out.

A ViT of tubes of 2 x 16 x 16 pixels, whose positions are turns of queries and
keys: it has no table, and takes any even number of frames. Facts are of its
implementation in transformers; `models/published/hf` reads its files.
"""

from collections.abc import Sequence

from models.encoder import Encoder
from models.sizes import Size


def make(
  *,
  dim: int,
  depth: int,
  mlp: int,
  heads: int,
  frames: int,
  height: int,
  width: int,
  patch: Sequence[int],
  epsilon: float,
  dtype: str,
  remat: str,
  scan: bool,
  attention: str,
) -> Encoder:
  """The encoder, for clips of one shape.

  Args:
    dim: width of the residual stream.
    depth: number of blocks.
    mlp: hidden width.
    heads: of attention.
    frames: of a clip, even.
    height: of a clip, pixels; it was trained at 256 or 384.
    width: of a clip, pixels, as many.
    patch: frames, height and width of a tube.
    epsilon: of its norms.
    dtype: of the arithmetic, see `mae.make`, as all below.
    remat: what the backward pass recomputes.
    scan: over the layers, or unroll them.
    attention: its implementation.

  Raises:
    ValueError: an unknown name, or numbers that do not fit together.
  """
  return Encoder(
    name='vjepa2',
    size=Size(dim, depth, mlp, heads),
    clip=(frames, height, width),
    patch=tuple(patch),
    positions='rotary',
    epsilon=epsilon,
    key_bias=True,
    norm=True,
    dtype=dtype,
    remat=remat,
    scan=scan,
    attention=attention,
  )
