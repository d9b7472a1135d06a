"""The sizes of the 4DS family, and the parameters that each must count.

Widths, depths, hidden widths and heads of S, B, L, H, g, G and e are as
published (arXiv 2412.15212). j is derived: its published count is 21,495M,
which these dimensions give with latents; its 32 heads are our choice. tiny is
ours, for laptops and tests.
"""

import dataclasses

from base.names import choose


@dataclasses.dataclass(frozen=True)
class Size:
  """Dimensions of one backbone.

  Attributes:
    width: of the residual stream.
    depth: number of blocks.
    mlp: hidden width of a block's MLP.
    heads: attention heads; each is width / heads wide.
    parameters: what the backbone counts at 16x224x224, patch (2, 16, 16);
      None once a dimension has been changed.
  """

  width: int
  depth: int
  mlp: int
  heads: int
  parameters: int | None = None

  def __post_init__(self):
    """Check.

    Raises:
      ValueError: a dimension is not positive, or heads do not divide width.
    """
    for name in ('width', 'depth', 'mlp', 'heads'):
      if getattr(self, name) < 1:
        raise ValueError(
          f'model {name} must be at least 1, got {getattr(self, name)}.'
        )
    if self.width % self.heads:
      raise ValueError(
        f'heads must divide width, got width={self.width} and '
        f'heads={self.heads} (remainder {self.width % self.heads}). Change '
        'model.heads or model.width.'
      )


SIZES = {
  # Heads are 64 wide in tiny to L, which fills half of a TPU's matrix unit of
  # 128; then 80, 88, 104, 112 and 128.
  'tiny': Size(192, 6, 768, 3, 3_265_344),
  'S': Size(384, 12, 1536, 6, 22_485_888),
  'B': Size(768, 12, 3072, 12, 87_439_104),
  'L': Size(1024, 24, 4096, 16, 305_488_896),
  'H': Size(1280, 32, 5120, 16, 633_652_480),
  'g': Size(1408, 40, 6144, 16, 1_014_378_880),
  'G': Size(1664, 48, 8192, 16, 1_846_529_664),
  'e': Size(1792, 56, 15360, 16, 3_809_464_064),
  'j': Size(4096, 64, 32768, 32, 21_492_011_008),
}


def get(name: str, **changes: int | None) -> Size:
  """The size called `name`, with the given dimensions changed.

  Args:
    name: a key of SIZES.
    **changes: width, depth, mlp or heads; None keeps the size's own.

  Raises:
    ValueError: no such size, or dimensions that do not fit together.
  """
  choose('model.size', name, SIZES)
  changes = {k: v for k, v in changes.items() if v is not None}
  if not changes:
    return SIZES[name]
  return dataclasses.replace(SIZES[name], parameters=None, **changes)
