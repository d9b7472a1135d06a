"""muP: starts and rates that follow a model's width, so that a rate transfers.

Table 3 of arXiv 2203.03466, for rules that divide by the gradient's size (Adam,
Lion, Adafactor), over a base width at which all is as it was without: a matrix
that reads the width of the stream learns by base / width of the rate, and the
one that ends in a fixed number of values (pixels) starts by the root of that
smaller. Matrices that read patches, biases, norms and embeddings stay.

Widths are to grow together: `mlp` and `heads` with `dim`, heads of one width.
Then attention needs no other scale.
"""

import math
from typing import Any

import jax

from models import sharding

# Of those alone it is known which matrices read a width, and which end in none.
_KNOWN = len(sharding.VIT) + len(sharding.MAE)
_WIDTHS = ('embed', 'mlp', 'heads')


def rates(params: Any, base_width: int) -> Any:
  """For each parameter, what its updates are multiplied by.

  Args:
    params: nested dict of arrays or shapes, of a ViT or of `models.mae`.
    base_width: of the stream, at which all are 1.

  Raises:
    ValueError: parameters of which it is not known.
  """
  return _map(params, base_width, lambda ratio, is_output: ratio)


def starts(params: Any, base_width: int) -> Any:
  """For each parameter, what its initial value is multiplied by.

  Args and errors are those of `rates`.
  """
  return _map(
    params,
    base_width,
    lambda ratio, is_output: math.sqrt(ratio) if is_output else 1.0,
  )


def _map(params, base_width, factor):
  axes = sharding.logical_axes(params)

  def of(path, leaf):
    name = '/'.join(key.key for key in path)
    if sharding.row_of(name) >= _KNOWN:
      raise ValueError(
        f"optim.parametrisation='mup' is not known for {name}: it is for "
        'models.mae and its backbone. Use standard'
      )
    own = axes
    for key in path:
      own = own[key.key]
    widths = [axis in _WIDTHS for axis in own if axis != 'layers']
    if not widths[0] or 'embed' not in own:
      return 1.0  # of patches, or a vector
    ratio = base_width / leaf.shape[own.index('embed')]
    return factor(ratio, sum(widths) == 1)

  return jax.tree_util.tree_map_with_path(of, params)
