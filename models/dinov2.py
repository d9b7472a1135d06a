"""DINOv2 (arXiv 2304.07193), an encoder of pictures of others, frame by frame.

A ViT of patches of 14 x 14 pixels with a token for the class, which features do
not have, perhaps with registers (arXiv 2309.16588), and in its giant size with
gated MLPs. Frames do not see each other. Facts are of its implementation in
transformers; `models/published/hf` reads its files, of which the layer scale is
part of kernels here.
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
  gated: bool,
  frames: int,
  height: int,
  width: int,
  patch: Sequence[int],
  table: Sequence[int],
  smooth: bool,
  registers: int,
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
    gated: MLPs are SwiGLU.
    frames: of a clip, any number.
    height: of a clip, pixels.
    width: of a clip, pixels.
    patch: frames, which is 1, height and width of a patch.
    table: rows and columns of the learned positions, resized to the frame's.
    smooth: resize them with `antialias`, as with registers.
    registers: how many there are.
    epsilon: of its norms.
    dtype: of the arithmetic, see `mae.make`, as all below.
    remat: what the backward pass recomputes.
    scan: over the layers, or unroll them.
    attention: its implementation.

  Raises:
    ValueError: an unknown name, or numbers that do not fit together.
  """
  if patch[0] != 1:
    raise ValueError(
      f'model.patch={tuple(patch)} must be of 1 frame: dinov2 sees pictures'
    )
  return Encoder(
    name='dinov2',
    size=Size(dim, depth, mlp, heads),
    clip=(frames, height, width),
    patch=tuple(patch),
    positions='learned',
    epsilon=epsilon,
    key_bias=True,
    norm=True,
    dtype=dtype,
    remat=remat,
    scan=scan,
    attention=attention,
    by_frame=True,
    table=tuple(table),
    smooth=smooth,
    extra=1 + registers,
    gated=gated,
  )
