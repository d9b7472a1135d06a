"""The published models as functions, made of the same parts as ours."""

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from models import moog, rvm, vit
from models.moog.cell import VARIANTS, Cell
from models.moog.frames import Encoder
from models.moog.layers import Transformer
from models.nn import patches
from models.nn.patches import Triple
from models.objective import Params
from models.published import files, loading, names
from models.published.config import moog_encoder, rvm_sizes
from models.published.names import Layout, Sizes
from models.readout import AttentionReadout
from models.sizes import Size

# Of the features that the published depth head reads, see `vit.Backbone`.
DEPTH = 0.95
# Of MooG, which no array tells: tokens and their deviation before the first
# frame, as in the notebook that runs the published weights.
TOKENS, START_STD = 1024, 1e-4


@dataclasses.dataclass(frozen=True)
class Published:
  """A loaded model. What a call takes and gives depends on its kind.

  * 'backbone', a 4DS backbone: `model(video)`, float [b t h w 3] in [0, 1] or
    uint8, gives the list of the tokens and then of the input of each block:
    l + 1 arrays [b n d], of which the first two are equal. The output of the
    last block is not among them.
  * 'depth', 4DS with a depth head: `model(video)` gives depth [b t h w 1].
  * 'moog', a MooG backbone: `model(video, state=None, rng=None)` gives a dict:
    `features` [b t s d], the tokens after each frame, and `state` [b s d],
    those after the last, with which a call for the next frames goes on. Without
    a state, 1024 tokens start as noise that `rng` draws.
  * 'rvm', the encoder and core of RVM: `model(video, state=None)` gives a dict
    like it: `features` [b t n d], a token for each patch of a frame, and
    `state` [b n+1 d], which starts at zero and has the class token first.
    Frames may have any size that patches fill.
  * 'points' and 'boxes', heads of MooG: `model(features, queries)`, features
    [b t n d] and queries [b q 2], (x, y), or [b q 4], (ymin, xmin, ymax,
    xmax), all in [0, 1], gives a dict: `values` [b t q 2] or [b t q 4], of the
    order of the queries; of points `logits_visible`, `logits_certainty` and
    `visible` (0 or 1), each [b t q 1], which are None of boxes.

  Attributes:
    kind: a name of `tables.KINDS`.
    params: {'backbone': ..., 'head': ...}, or one of them; named as ours are.
    layout: which published arrays they are, and the sizes read from these.
  """

  kind: str
  params: Params
  layout: Layout
  function: Callable[..., Any]

  @property
  def clip(self) -> Triple:
    """Frames, height and width that a 4DS model sees."""
    return backbone_of(self.layout.sizes['backbone']).clip

  def __call__(self, *args, **kwargs) -> Any:
    """See the class."""
    return self.function(self.params, *args, **kwargs)


def load(
  path: str, *, output_patch: Sequence[int] = (2, 8, 8), cut: bool = False
) -> Published:
  """Loads a published file, npz or safetensors, onto the first device.

  Which model it holds follows from its names and shapes; arrays that belong to
  no part of it are named in a warning.

  Args:
    path: of the file.
    output_patch: frames, height and width that one query of a depth head
      predicts: the only thing that shapes do not tell.
    cut: take videos that are larger by less than a patch, of which the end is
      left out, as the official tokenizer does without a word; otherwise they
      are refused. Of 4DS.

  Raises:
    ValueError: not such a file, not whole, an array is missing or does not
      fit, or pickled objects; or `cut` of another model than 4DS.
  """
  entries = files.opened(path)
  layout = names.of_file(path, {key: x.shape for key, x in entries.items()})
  if layout.extra:
    warnings.warn(
      f'{path} also holds {names.some(layout.extra)}, which a model of kind '
      f'{layout.kind!r} does not use',
      stacklevel=2,
    )
  function = _FUNCTIONS[layout.kind](path, layout, tuple(output_patch))
  if layout.kind in ('backbone', 'depth'):
    backbone = backbone_of(layout.sizes['backbone'])
    function = _fitting(function, backbone, cut)
  elif cut:
    raise ValueError(
      f'{path}: cut=True is of 4DS, whose patches fill a clip; this is of '
      f'kind {layout.kind!r}: leave it out'
    )
  params = loading.params(entries, layout.leaves)
  return Published(layout.kind, params, layout, jax.jit(function))


def _fitting(function: Callable, backbone: vit.Backbone, cut: bool) -> Callable:
  """The function of videos that fill the clip, or whose end is cut first."""
  clip, patch = backbone.clip, backbone.patch

  def run(params, video):
    if cut:
      video = patches.cut(video, clip, patch)
    elif tuple(video.shape[1:]) != (*clip, 3):
      raise ValueError(
        f'video must be [b t h w 3] with (t, h, w)={clip}, got shape '
        f'{tuple(video.shape)}: resize it; or load the file with cut=True, if '
        f'it is larger by less than a patch, {patch}'
      )
    return function(params, video)

  return run


def backbone_of(sizes: Sizes) -> vit.Backbone:
  """The 4DS backbone of these sizes of axes."""
  grid = (sizes['t'], sizes['h'], sizes['w'])
  patch = (sizes['pt'], sizes['ph'], sizes['pw'])
  return vit.Backbone(
    size=Size(sizes['d'], sizes['l'], sizes['m'], sizes['k']),
    clip=tuple(n * step for n, step in zip(grid, patch)),
    patch=patch,
    dtype='float32',
    remat='none',
    scan=True,
    attention='auto',
    positions='normal',
  )


def _backbone(path: str, layout: Layout, output_patch: Triple):
  del path, output_patch
  backbone = backbone_of(layout.sizes['backbone'])

  def run(params, video):
    x = backbone.inputs(params['backbone'], video)
    return [x[0], *x]

  return run


def _moog(path: str, layout: Layout, output_patch: Triple):
  del path, output_patch
  made = moog_of(layout)

  def run(params, video, state=None, rng=None):
    # No parameter depends on the size of frames: each call may have its own.
    cell = dataclasses.replace(made.cell, size=video.shape[2:4])
    model = dataclasses.replace(made, cell=cell)
    params = params['backbone']
    if state is None:
      rng = jax.random.key(0) if rng is None else rng
      state = cell.start(params, jax.random.split(rng, video.shape[0]))
    features = model.features(params, video, state=state)
    return {'features': features.tokens, 'state': features.state}

  return run


def _rvm(path: str, layout: Layout, output_patch: Triple):
  del path, output_patch
  sizes = rvm_sizes(layout)

  def run(params, video, state=None):
    # No parameter depends on the size of frames: each call may have its own.
    model = rvm.make(
      **sizes,
      **{'frames': 2, 'height': video.shape[2], 'width': video.shape[3]},
      # Nothing is reconstructed.
      **{'sources': 1, 'targets': 1, 'gap': (1, 1), 'mask_ratio': 0.0},
      **{'decoder_layers': 1, 'decoder_dim': 1, 'decoder_heads': 1},
      **{'decoder_mlp': 1, 'normalise_target': False, 'positions': 'sines'},
      **{'dtype': 'float32', 'remat': 'none', 'scan': True},
      attention='auto',
    )
    features = model.features(params['backbone'], video, state=state)
    return {'features': features.tokens, 'state': features.state}

  return run


def moog_of(layout: Layout) -> moog.MooG:
  """The MooG of a file, for frames of no size yet; it decodes none of them."""
  sizes, variant = layout.sizes['backbone'], VARIANTS['B']
  encoder = moog_encoder(layout)
  transformers = {
    part: Transformer(
      layout.layers(f'backbone/{part}/layer'),
      *(sizes[f'{part}_{x}'] for x in ('heads', 'head_dim', 'mlp')),
    )
    for part in ('predictor', 'corrector')
  }
  cell = Cell(
    variant=variant,
    layout='free',
    size=(0, 0),
    state=(TOKENS, sizes['d']),
    start_as='noise',
    start_std=START_STD,
    encoder=Encoder(
      channels=tuple(encoder['channels']),
      strides=tuple(encoder['strides']),
      positions=variant.positions,
      bases=encoder['encoder_bases'],
      dim=sizes['hidden'],
    ),
    decoder=None,
    loss_gradient=False,
    **transformers,
  )
  return moog.MooG(
    cell,
    frames=1,
    stop_gradient=0.0,
    subsample=1,
    eval_subsample=1,
    remat='none',
    scan=True,
  )


def _depth(path: str, layout: Layout, output_patch: Triple):
  backbone = backbone_of(layout.sizes['backbone'])
  sizes = layout.sizes['head']
  _check_widths(path, layout)
  frames, (_, height, width) = sizes['frames'], backbone.clip
  try:
    grid = patches.grid((frames, height, width), output_patch, 'output_patch')
  except ValueError:
    grid = (0, 0, 0)
  t, h, w = grid
  if (t * h * w, math.prod(output_patch)) != (
    sizes['queries'],
    sizes['outputs'],
  ):
    raise ValueError(
      f'{path}: {sizes["queries"]} queries of {sizes["outputs"]} outputs each '
      f'are not {frames} x {height} x {width} depths in patches of '
      f'output_patch={output_patch}: give the output_patch of this head'
    )
  head = AttentionReadout(
    outputs=sizes['outputs'],
    frames=frames,
    queries=sizes['queries'],
    width=sizes['k'] * sizes['e'],
    heads=sizes['k'],
  )

  def run(params, video):
    features = backbone.features(params['backbone'], video, DEPTH).tokens
    depth = head.apply({'params': params['head']}, features)
    return patches.unpatchify(depth, grid, output_patch)

  return run


def _tracks(path: str, layout: Layout, output_patch: Triple, *, numbers: int):
  """A head of MooG, whose queries have so many numbers."""
  del output_patch
  sizes = layout.sizes['head']
  copies = sizes.get('copies', 1)
  at_once = sizes['frames'] // copies  # frames that a copy of a query predicts
  if sizes['waves'] % (2 * numbers):
    raise ValueError(
      f'{path}: query_initializer/layers_1/Dense_0/kernel takes '
      f'{sizes["waves"]} sines and cosines, expected a multiple of '
      f'2 x {numbers} numbers of a query'
    )
  if (at_once * copies, at_once * 4) != (sizes['frames'], sizes['outputs']):
    raise ValueError(
      f'{path}: {sizes["outputs"]} outputs of each of {copies} copies of a '
      f'query are not 4 numbers in each of {sizes["frames"]} frames'
    )
  head = AttentionReadout(
    outputs=sizes['outputs'],
    frames=sizes['frames'],
    conditioning=numbers,
    copies=copies,
    width=sizes['k'] * sizes['e'],
    heads=sizes['k'],
    query_bases=sizes['waves'] // (2 * numbers),
    query_hidden=sizes['hidden'],
    query_width=sizes['features'],
  )

  def run(params, features, queries):
    _check_tracks(features, queries, sizes, numbers)
    x = head.apply({'params': params['head']}, features, queries)
    x = rearrange(x, 'b (q k) (t c) -> b (k t) q c', k=copies, c=4)
    if numbers == 4:
      none = dict.fromkeys(('visible', 'logits_visible', 'logits_certainty'))
      return {'values': x, **none}
    visible, certain = x[..., 2:3], x[..., 3:]
    # Visible, and near: as TAP-Vid's models decide.
    seen = jax.nn.sigmoid(visible) * jax.nn.sigmoid(certain) > 0.5
    return {
      'values': jax.nn.sigmoid(x[..., :2]),
      'visible': seen.astype(jnp.float32),
      'logits_visible': visible,
      'logits_certainty': certain,
    }

  return run


def _check_tracks(
  features: Float[Array, 'b t n d'],
  queries: Float[Array, 'b q c'],
  sizes: Sizes,
  numbers: int,
) -> None:
  frames, width = sizes['frames'], sizes['d']
  if features.ndim != 4 or features.shape[1::2] != (frames, width):
    raise ValueError(
      f'features must be [b t n d] with t={frames} and d={width}, got shape '
      f'{features.shape}: this head was trained for clips of {frames} frames'
    )
  if queries.ndim != 3 or queries.shape[-1] != numbers:
    raise ValueError(
      f'queries must be [b q {numbers}], got shape {queries.shape}'
    )


def _check_widths(path: str, layout: Layout) -> None:
  backbone, head = layout.sizes['backbone']['d'], layout.sizes['head']['d']
  if backbone != head:
    raise ValueError(
      f'{path}: params/layers_2/LayerNorm_0/scale is for features {head} wide, '
      f'those of the backbone are {backbone}'
    )


_FUNCTIONS = {
  'backbone': _backbone,
  'moog': _moog,
  'rvm': _rvm,
  'depth': _depth,
  'points': functools.partial(_tracks, numbers=2),
  'boxes': functools.partial(_tracks, numbers=4),
}
