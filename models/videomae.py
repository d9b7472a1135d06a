"""VideoMAE (arXiv 2203.12602), an encoder of others that is read out.

A ViT of tubes of 2 x 16 x 16 pixels with a fixed table of positions. Norms have
an epsilon of 1e-12, GELU is exact, keys have no bias. Facts are of its
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
  norm: bool,
  dtype: str,
  remat: str,
  scan: bool,
  attention: str,
) -> Encoder:
  """The encoder, for clips of one shape alone.

  Args:
    dim: width of the residual stream.
    depth: number of blocks.
    mlp: hidden width.
    heads: of attention.
    frames: of a clip, 16 in all published ones.
    height: of a clip, pixels.
    width: of a clip, pixels.
    patch: frames, height and width of a tube.
    epsilon: of its norms.
    norm: whether there is one behind the last block: where it was pretrained,
      and not fine-tuned.
    dtype: of the arithmetic, see `mae.make`, as all below.
    remat: what the backward pass recomputes.
    scan: over the layers, or unroll them.
    attention: its implementation.

  Raises:
    ValueError: an unknown name, or numbers that do not fit together.
  """
  return Encoder(
    name='videomae',
    size=Size(dim, depth, mlp, heads),
    clip=(frames, height, width),
    patch=tuple(patch),
    positions='sines',
    epsilon=epsilon,
    key_bias=False,
    norm=norm,
    dtype=dtype,
    remat=remat,
    scan=scan,
    attention=attention,
  )
