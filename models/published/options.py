"""What a published file is in the words of our configs."""

from typing import Any

from models import sizes as sizes_lib
from models.published.names import Layout, Sizes


def model_options(path: str, layout: Layout) -> dict[str, Any]:
  """A config's section `model` for the backbone of a file.

  In float32, as published. How it would be pretrained further is ours, and as
  in the recipes where the grid allows it.

  Args:
    path: of the file, for messages.
    layout: of it.

  Raises:
    ValueError: the file has no backbone.
  """
  if 'backbone' not in layout.sizes:
    raise ValueError(
      f'{path} holds a head of kind {layout.kind!r} and no backbone: convert '
      "the backbone's file, and name this one in --heads"
    )
  return _mae(layout.sizes['backbone'])


def _mae(sizes: Sizes) -> dict[str, Any]:
  t, h, w = sizes['t'], sizes['h'], sizes['w']
  patch = (sizes['pt'], sizes['ph'], sizes['pw'])
  own = sizes_lib.Size(sizes['d'], sizes['l'], sizes['m'], sizes['k'])
  size = {'size': 'S', 'dim': own.width, 'depth': own.depth}
  size |= {'mlp': own.mlp, 'heads': own.heads}
  for name, known in sizes_lib.SIZES.items():
    if (known.width, known.depth, known.mlp, known.heads) == (
      *(own.width, own.depth, own.mlp, own.heads),
    ):
      size = {'size': name}
  return {
    'name': 'mae',
    **size,
    'frames': t * patch[0],
    'height': h * patch[1],
    'width': w * patch[2],
    'patch': patch,
    'output_patch': ((1 if t % 2 else 2) * patch[0], *patch[1:]),
    'mask': 'random',
    # 95% of a small grid could leave nothing.
    'mask_ratio': 0.95 if t * h * w >= 20 else 0.5,
    'decoder_blocks': min(2, own.depth),
    'loss_on': 'all',
    'normalise_target': False,
    'dtype': 'float32',
    'remat': 'named',
    'scan': True,
    'attention': 'auto',
    'positions': 'normal',
  }


def head_options(path: str, layout: Layout) -> dict[str, Any]:
  """Options of the task that a head answers.

  Args:
    path: of the file, for messages.
    layout: of it.

  Raises:
    ValueError: a head of points that no task asks for.
  """
  sizes = layout.sizes['head']
  options = {'width': sizes['k'] * sizes['e'], 'heads': sizes['k']}
  if layout.kind == 'depth':
    return options
  if layout.kind == 'points' and sizes['frames'] != 2 * sizes['copies']:
    raise ValueError(
      f'{path}: {sizes["copies"]} copies of a point for {sizes["frames"]} '
      'frames; readouts of points have a copy for every 2'
    )
  numbers = 2 if layout.kind == 'points' else 4
  return options | {
    'query_bases': sizes['waves'] // (2 * numbers),
    'query_hidden': sizes['hidden'],
    'query_width': sizes['features'],
  }
