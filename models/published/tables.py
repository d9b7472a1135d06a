"""Tables of the published names: theirs, ours, and the axes of both.

Axes are words, and the shapes in a file tell their sizes: '(k e)' is one axis
of k times e, a number is itself.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


class Row(NamedTuple):
  """One published array, or one of each layer."""

  key: str  # published; '{l}' is the number of a layer, counted by the size l
  name: str  # ours; the layers are stacked along a new first axis
  axes: str  # published
  ours: str = ''  # axes of ours, the stack's left out, where they are others
  # Positions are published without leading axes of 1 (kauldron's
  # LearnedEmbedding): those of a grid of 1 x 2 x 2 are [2 2 d].
  trimmed: bool = False


Table = tuple[Row, ...]


class Part(NamedTuple):
  """A table, and what is before its names."""

  name: str  # 'backbone' or 'head', before ours
  prefix: str  # before the published ones
  table: Table
  # What names begin with of arrays that a file has beside it, and we do not
  # read; all others are refused. None: any are left.
  beside: tuple[str, ...] | None = None


def _affine(key: str, name: str, axes: str, bias: str, ours: str = '') -> Table:
  return (
    Row(f'{key}/kernel', f'{name}/kernel', axes, ours),
    Row(f'{key}/bias', f'{name}/bias', bias),
  )


def _norm(key: str, name: str, axes: str) -> Table:
  return tuple(
    Row(f'{key}/{leaf}', f'{name}/{leaf}', axes) for leaf in ('scale', 'bias')
  )


def _in_layers(table: Table, key: str, name: str) -> Table:
  """Rows of one block of a transformer, whose layers have these names."""
  return tuple(Row(key + r.key, name + r.name, r.axes, r.ours) for r in table)


def _look(key: str, name: str, k: str, e: str, norm: str = '') -> Table:
  """Attention and the norm before it, `norm` of ours."""
  rows = _norm(f'{key}_norm', norm or f'{name}_norm', 'd')
  for part in ('query', 'key', 'value'):
    theirs, ours = f'{key}/{part}', f'{name}/{part}'
    rows += _affine(theirs, ours, f'd {k} {e}', f'{k} {e}')
  return rows + _affine(f'{key}/out', f'{name}/out', f'{k} {e} d', 'd')


def _mlp(m: str) -> Table:
  """An MLP and the norm before it."""
  return (
    *_norm(*['mlp_norm'] * 2, 'd'),
    *_affine(*['mlp/dense_in'] * 2, f'd {m}', m),
    *_affine(*['mlp/dense_out'] * 2, f'{m} d', 'd'),
  )


_BLOCK = (*_look(*['attention'] * 2, 'k', 'e'), *_mlp('m'))

# (pt ph pw): a patch. (t h w): the grid of patches.
VIT: Table = (
  *_affine(
    'encoder/patch_embedding/Conv_0',
    'encoder/patch_embedding',
    *('pt ph pw 3 d', 'd'),
  ),
  Row(*['encoder/posenc/embeddings'] * 2, 't h w d', trimmed=True),
  *_in_layers(_BLOCK, 'processor/layers_{l}/', 'processor/layers/'),
)

# What the heads have in common; d is the width of the features, k e its own.
_READOUT = (
  *_norm('LayerNorm_0', 'norm', 'd'),
  Row(
    *('temporal_posenc/embeddings', 'posenc/embeddings'),
    *('frames 1 d', 'frames d'),
    trimmed=True,
  ),
  *_affine('key_embedding', 'attention/key', 'd k e', 'k e'),
  *_affine('value_embedding', 'attention/value', 'd k e', 'k e'),
  *_norm('LayerNorm_1', 'mlp_norm', '(k e)'),
  *_affine('MLP_0/Dense_0', 'mlp/dense_in', '(k e) (4 k e)', '(4 k e)'),
  *_affine('MLP_0/Dense_1', 'mlp/dense_out', '(4 k e) (k e)', '(k e)'),
)


def _out(key: str) -> Table:
  axes = '(k e) (k e)', '(k e)', 'k e (k e)'
  return _affine(key, 'attention/out', *axes)


# Denses are numbered in the order of their use: a head that is asked projects
# its queries first.
LEARNED: Table = (
  *_READOUT,
  Row('query', 'query/embeddings', 'queries k e', 'queries (k e)'),
  *_out('Dense_0'),
  *_affine('Dense_1', 'output', '(k e) outputs', 'outputs'),
)
ASKED: Table = (
  *(
    r._replace(key=f'attention_readout/{r.key}')
    for r in (
      *_READOUT,
      *_affine('Dense_0', 'query/project', 'features (k e)', '(k e)'),
      *_out('Dense_1'),
      *_affine('Dense_2', 'output', '(k e) outputs', 'outputs'),
    )
  ),
  *_affine(
    'query_initializer/layers_1/Dense_0',
    'query/dense_in',
    *('waves hidden', 'hidden'),
  ),
  *_affine(
    'query_initializer/layers_1/Dense_1',
    'query/dense_out',
    *('hidden features', 'features'),
  ),
)
COPIED: Table = (
  *ASKED,
  Row(
    'temporal_tile_posenc/embeddings',
    'query/tile/embeddings',
    'copies features',
    trimmed=True,
  ),
)


def _scale(key: str, name: str, axes: str) -> Table:
  return (Row(f'{key}/scale', f'{name}/scale', axes),)


def _attention(key: str, name: str, kv: str, d: str, k: str, e: str) -> Table:
  """MooG's: no bias but the output's, normalised queries and keys."""
  inputs = {'query': d, 'key': kv, 'value': kv}
  return (
    *(
      Row(f'{key}/dense_{x}/kernel', f'{name}/{x}/kernel', f'{width} {k} {e}')
      for x, width in inputs.items()
    ),
    *_scale(f'{key}/norm_query', f'{name}/query_norm', e),
    *_scale(f'{key}/norm_key', f'{name}/key_norm', e),
    *_affine(f'{key}/dense_out', f'{name}/out', f'{k} {e} {d}', d),
  )


def _transformer(
  key: str,
  name: str,
  layers: int,
  *,
  d: str,
  self_attention: bool = True,
  kv: str = '',
) -> Table:
  """One of MooG's: tokens of width d, which may look at others of width kv."""
  k, e, m = (f'{name.split("/")[0]}_{x}' for x in ('heads', 'head_dim', 'mlp'))
  rows = []
  for i in range(layers):
    theirs, ours = f'{key}/layer_{i}', f'{name}/layer_{i}'
    rows += _scale(f'{theirs}/norm_q', f'{ours}/norm', d)
    if self_attention:
      rows += _attention(
        f'{theirs}/self_att', f'{ours}/self_attention', d, d, k, e
      )
    if kv:
      rows += _attention(
        f'{theirs}/cross_att', f'{ours}/cross_attention', kv, d, k, e
      )
    rows += _scale(f'{theirs}/norm_attn', f'{ours}/mlp_norm', d)
    rows += _affine(f'{theirs}/MLP_in', f'{ours}/mlp/dense_in', f'{d} {m}', m)
    rows += _affine(f'{theirs}/MLP_out', f'{ours}/mlp/dense_out', f'{m} {d}', d)
  return (*rows, *_scale(f'{key}/norm_encoder', f'{name}/norm', d))


def moog(shapes: Shapes, *, published: bool) -> Table:
  """The rows of the MooG backbone of which some names and shapes are given.

  Layers are counted, and the decoder is in it if all of it is there.

  Args:
    shapes: by name, without prefixes.
    published: whether they are a file's, or ours.
  """

  def count(theirs: str, ours: str) -> int:
    pattern = re.compile(rf'{theirs if published else ours}_(\d+)/')
    return 1 + max(
      (int(m[1]) for m in map(pattern.match, shapes) if m), default=0
    )

  def names(table: Table) -> set[str]:
    return {row.key if published else row.name for row in table}

  convs = count('encoder/backbone/Conv', 'encoder/conv')
  rows = []
  for i in range(convs):
    before = f'channels_{i - 1}' if i else '3'
    rows += _affine(
      f'encoder/backbone/Conv_{i}',
      f'encoder/conv_{i}',
      f'3 3 {before} channels_{i}',
      f'channels_{i}',
    )
  rows += _scale(
    'encoder/backbone/LayerNorm_0', 'encoder/conv_norm', f'channels_{convs - 1}'
  )
  rows += _affine(
    *('encoder/transformer/Dense_0', 'encoder/project'),
    *('seen hidden', 'hidden'),
  )
  rows += _scale('encoder/transformer/norm_encoder', 'encoder/norm', 'hidden')
  first = 'encoder/transformer/Dense_0' if published else 'encoder/project'
  if len(set(shapes.get(f'{first}/kernel', (0, 1)))) > 1:
    # Back to the width it came from, if that was another.
    rows += _affine(
      *('encoder/transformer/Dense_1', 'encoder/output'),
      *('hidden seen', 'seen'),
    )
  rows += _transformer(
    'predictor_sa',
    'predictor',
    count('predictor_sa/layer', 'predictor/layer'),
    d='d',
  )
  rows += _transformer(
    'predictor_ca',
    'corrector',
    count('predictor_ca/layer', 'corrector/layer'),
    d='d',
    kv='seen',
  )
  rows += _scale('state_layer_norm', 'state_norm', 'd')
  decoder = (
    *_transformer(
      'decoder/transformer',
      'decoder/transformer',
      count('decoder/transformer/layer', 'decoder/transformer/layer'),
      d='pixel',
      self_attention=False,
      kv='d',
    ),
    *_affine('decoder/recon', 'decoder/output', 'pixel 3', '3'),
  )
  if names(decoder) <= shapes.keys():
    rows += decoder
  return tuple(rows)


# The core may have other layers, heads and MLPs than the encoder.
_CORE = (
  *_look('ca_attention', 'cross_attention', 'core_k', 'core_e', 'cross_norm'),
  *_mlp('core_m'),
  *_look(*['attention'] * 2, 'core_k', 'core_e'),
)
RVM: Table = (
  *_affine(
    'tokenizer/patch_embedding/Conv_0',
    'encoder/patch_embedding',
    *('1 ph pw 3 d', 'd'),
  ),
  Row('cls_token', 'encoder/class_token/embeddings', '1 d'),
  *_in_layers(_BLOCK, 'encoder/layers_{l}/', 'processor/layers/'),
  *_norm('encoder/LayerNorm_0', 'processor/norm', 'd'),
  *(
    Row(f'rnn_core/{by}_{gate}/kernel', f'core/{by}_{gate}/kernel', 'd d')
    for by in ('input', 'state')
    for gate in ('update', 'reset')
  ),
  Row('rnn_core/state_layer_norm/scale', 'core/state_norm/scale', 'd'),
  *_in_layers(
    _CORE, 'rnn_core/transformer/xa_blocks_{core_l}/', 'core/layers/'
  ),
  *_norm('rnn_core/transformer/output_norm', 'core/norm', 'd'),
)
# For reconstruction only; its names are not public, and ours is another one.
RVM_DECODER = (
  *('decoder', 'delta_embedder', 'latent_posenc'),
  *('detokenizer', 'mask_token'),
)

KINDS = ('backbone', 'depth', 'moog', 'rvm', 'points', 'boxes')


def parts(kind: str, shapes: Shapes, *, published: bool) -> tuple[Part, ...]:
  """The tables of a kind.

  Args:
    kind: a name of KINDS.
    shapes: of a file's arrays, or of our parameters.
    published: which of the two.
  """
  if kind == 'backbone':
    return (Part('backbone', 'params/', VIT),)
  if kind == 'depth':
    return (
      Part('backbone', 'params/layers_0/', VIT),
      Part('head', 'params/layers_2/', LEARNED),
    )
  if kind == 'rvm':
    return (Part('backbone', '', RVM, beside=RVM_DECODER),)
  if kind == 'moog':
    prefix = 'pretrained_model/'
    before = prefix if published else 'backbone/'
    own = {
      name.removeprefix(before): shape
      for name, shape in shapes.items()
      if name.startswith(before)
    }
    return (Part('backbone', prefix, moog(own, published=published)),)
  return (Part('head', '', COPIED if kind == 'points' else ASKED),)
