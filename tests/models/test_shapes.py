"""What is too large to run here, by shapes alone: every size, variant and head.

Nothing is computed: `jax.eval_shape` traces, and says what would come out.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import distill as distill_recipe
from configs import moog as moog_recipe
from configs import readout as readout_recipe
from configs import rvm as rvm_recipe
from evals import task
from models import objective, sizes
from tests.models import recipes

KEY = jax.ShapeDtypeStruct((), jax.random.key(0).dtype)
# What a head is asked for: numbers of a point, and of a box.
ASKED = {'points': 2, 'boxes': 4}


def clips(*shape):
  video = jax.ShapeDtypeStruct((*shape, 3), np.uint8)
  return {'video': video, 'row': jax.ShapeDtypeStruct(shape[:1], np.uint32)}


def count(params):
  return sum(leaf.size for leaf in jax.tree.leaves(params))


def loss_of(made, params, batch):
  loss, scalars = jax.eval_shape(made.loss, params, batch, KEY)
  return {x.shape for x in (loss, *scalars.values())}


@pytest.mark.parametrize('name', sizes.SIZES)
def test_every_size_reads_a_clip_and_paints_it(name):
  made = recipes.mae(size=name, dtype='bfloat16', remat='named')
  batch = clips(2, 16, 224, 224)
  params = jax.eval_shape(made.init, KEY, batch)
  assert loss_of(made, params, batch) == {()}
  features = jax.eval_shape(made.features, params, batch['video'])
  width = sizes.SIZES[name].width
  assert features.tokens.shape == (2, 8, 14 * 14, width)
  assert features.tokens.dtype == jnp.bfloat16
  index = jax.ShapeDtypeStruct((2, 78), np.int32)
  pixels = jax.eval_shape(made.reconstruct, params, batch['video'], index)
  assert pixels.shape == (2, 4 * 14 * 14, 4 * 16 * 16 * 3)
  assert pixels.dtype == jnp.float32
  backbone = {key: params[key] for key in ('encoder', 'processor')}
  assert count(backbone) == sizes.SIZES[name].parameters
  assert count(params['latents']) == 784 * width  # one for each output patch
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {
    np.dtype('float32')
  }


@pytest.mark.parametrize(
  ('data', 'layout', 'parameters', 'tokens'),
  [
    # Both variants as published. Readouts see the predicted and the corrected
    # tokens of A, the corrected ones of B.
    ('movi_e,path=-', 'free', 34_726_787, 2 * 1024),
    ('-', 'free', 35_193_811, 1024),
    # Without cross-attention in its two blocks, with the layer that fuses.
    (
      *('movi_e,path=-', 'grid'),
      34_726_787 - 2 * (4 * 512**2 + 512 + 2 * 64) + 512 * 513,
      2 * 1024,
    ),
  ],
)
def test_every_moog_reads_any_number_of_frames(
  data, layout, parameters, tokens
):
  config = moog_recipe.get_config(f'data={data},layout={layout}').model
  made = objective.make(**config.to_dict())
  t, h, w = config.frames, config.height, config.width
  batch = clips(2, t, h, w)
  params = jax.eval_shape(made.init, KEY, batch)
  assert count(params) == parameters
  assert loss_of(made, params, batch) == {()}
  longer = clips(3, t + 5, h, w)['video']
  features = jax.eval_shape(made.features, params, longer)
  assert features.tokens.shape == (3, t + 5, tokens, 512)
  assert features.state.shape == (3, 1024, 512)


@pytest.mark.parametrize('size', rvm_recipe.SIZES)
def test_every_rvm_reads_any_number_of_frames(size):
  config = rvm_recipe.get_config(f'size={size},data=DATA').model
  made = objective.make(**config.to_dict())
  batch = clips(2, 52, 256, 256)
  params = jax.eval_shape(made.init, KEY, batch)
  assert loss_of(made, params, batch) == {()}
  width = sizes.SIZES[config.size].width
  features = jax.eval_shape(
    made.features, params, clips(3, 9, 256, 256)['video']
  )
  assert features.tokens.shape == (3, 9, 16 * 16, width)
  assert features.state.shape == (3, 257, width)
  shown = jax.eval_shape(made.pictures, params, batch, KEY)
  assert shown['prediction'].shape == (2, 4, 4 * 256, 256, 3)


def test_the_published_student_learns_of_the_published_teacher():
  config = distill_recipe.get_config('data=-,teacher=E.npz').model
  made = objective.make(**config.to_dict())
  params = jax.eval_shape(made.init, KEY, clips(1, 16, 224, 224))
  video = clips(2, 16, 224, 224)['video']
  told = jax.eval_shape(made.predict, params, video)
  assert told.shape == (2, 1568, 1792)
  assert told == jax.eval_shape(made.target, params, video)


@pytest.mark.parametrize(
  ('name', 'head'),
  [*((name, 'attention') for name in (*sizes.SIZES, 'MooG')), ('MooG', 'moog')],
)
def test_heads_of_the_protocol_read_every_backbone(name, head):
  # Tokens of each frame, of MooG; of each two, of a ViT.
  shape = (16, 1024, 512)
  if name != 'MooG':
    shape = (8, 196, sizes.SIZES[name].width)
  features = jax.ShapeDtypeStruct((2, *shape), np.float32)
  # What each is to say of two clips, and of five points or boxes in each.
  outputs = {
    'depth': (2, 8 * 28 * 28, 2 * 8 * 8),
    'points': (2, 5 * 8, 2 * 4),
    'boxes': (2, 5, 16 * 4),
    'pose': (2, 1, 12),
    'classify': (2, 1, 174),
  }
  if head == 'moog':
    outputs = {task: outputs[task] for task in readout_recipe.MOOG}
  config = readout_recipe.get_config(
    f'task={"+".join(outputs)},head={head},data=ssv2,recipe=paper'
  )
  for each, options in config.tasks.to_dict().items():
    made = task.make(each, **options).head((16, 224, 224))
    asked = None
    if each in ASKED:
      asked = jax.ShapeDtypeStruct((2, 5, ASKED[each]), np.float32)
    params = jax.eval_shape(made.init, KEY, features, asked)
    got = jax.eval_shape(made.apply, params, features, asked)
    assert (got.shape, got.dtype) == (outputs[each], np.float32), each
