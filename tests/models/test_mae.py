"""SimpleMAE: masks, loss, options, and what it costs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import mae, objective
from models.nn import patches
from models.nn.layers import Block
from tests.models import recipes

apply = jax.jit(Block(heads=2, mlp=24).apply)


@functools.cache
def jitted(objective_):
  return jax.jit(objective_.loss)


def patch_at(place):
  """Where in a clip an input patch is."""
  t, h, w = np.unravel_index(place, (2, 2, 6))
  return np.s_[2 * t : 2 * t + 2, 4 * h : 4 * h + 4, 2 * w : 2 * w + 2]


def output_patch_at(place):
  """Where in a clip an output patch is."""
  h, w = divmod(place, 3)
  return np.s_[:, 4 * h : 4 * h + 4, 4 * w : 4 * w + 4]


def reference_loss(params, video, index, *, masked, normalise):
  """The published graph, written out a patch and a pixel at a time."""
  video = np.asarray(video, np.float32) / 255
  params = jax.tree.map(np.asarray, params)
  kernel = params['encoder']['patch_embedding']['kernel']
  layers = params['processor']['layers']
  total, count = 0.0, 0
  for clip, seen in zip(video, np.asarray(index)):
    tokens, hidden = [], np.ones(clip.shape, bool)
    for place in seen:
      t, h, w = np.unravel_index(place, (2, 2, 6))
      where = patch_at(place)
      hidden[where] = False
      token = np.tensordot(clip[where], kernel, 4)
      token = token + params['encoder']['patch_embedding']['bias']
      tokens.append(token + params['encoder']['posenc']['embeddings'][t, h, w])
    x = np.stack(tokens)[None]
    for i in range(4):
      if i == 2:
        latents = params['latents']['embeddings'][None]
        x = np.concatenate([latents, x], axis=1)
      layer = jax.tree.map(lambda a, i=i: jnp.asarray(a[i]), layers)
      x = np.asarray(apply({'params': layer}, jnp.asarray(x)))
    pixels = x[0, :6] @ params['head']['kernel'] + params['head']['bias']
    for place in range(6):
      where = output_patch_at(place)
      target = clip[where]
      if normalise:
        target = (target - target.mean()) / np.sqrt(target.var() + 1e-6)
      error = (pixels[place].reshape(4, 4, 4, 3) - target) ** 2
      weight = hidden[where] if masked else np.ones_like(hidden[where])
      total, count = total + (error * weight).sum(), count + weight.sum()
  return total / count


@pytest.mark.parametrize(
  ('options', 'masked', 'normalise'),
  [
    ({}, False, False),
    ({'loss_on': 'masked'}, True, False),
    ({'normalise_target': True, 'mask': 'tube'}, False, True),
    ({'normalise_target': True, 'loss_on': 'masked'}, True, True),
  ],
  ids=str,
)
def test_loss_is_the_published_graph(
  options, masked, normalise, small, params, batch
):
  objective_ = small(**options)
  keys = objective.row_keys(jax.random.key(2), batch)
  index = objective_.draw(keys)
  expected = reference_loss(
    params, batch['video'], index, masked=masked, normalise=normalise
  )
  loss, _ = jitted(objective_)(params, batch, jax.random.key(2))
  np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_the_target_is_the_same_on_a_tpu(small, batch, monkeypatch):
  pixels = patches.patchify(batch['video'], (4, 4, 4))
  expected = small()._target(pixels)
  monkeypatch.setattr(mae, 'platform', lambda: 'tpu')
  np.testing.assert_array_equal(jax.jit(small()._target)(pixels), expected)


def test_gradients_reach_every_parameter(small, params, batch, grad):
  _, gradient = grad(small(), params, batch)
  # A bias of all keys cancels in the softmax: its gradient is zero by maths.
  keys = gradient['processor']['layers']['attention']['key']
  np.testing.assert_allclose(keys.pop('bias'), 0, atol=1e-6)
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
    layers = leaf if path[0].key == 'processor' else leaf[None]
    for layer in np.asarray(layers):
      assert abs(layer).max() > 1e-6, jax.tree_util.keystr(path)


def test_masked_pixels_are_not_seen(small, params, batch):
  """Changing a masked patch changes the target, never the reconstruction."""
  objective_, video = small(), batch['video']
  index = objective_.draw(objective.row_keys(jax.random.key(2), batch))
  run = jax.jit(objective_.reconstruct)
  seen = objective_._seen(index)
  noise = jnp.where(seen, video, 255 - video)
  np.testing.assert_array_equal(
    run(params, video, index), run(params, noise, index)
  )
  assert seen.sum() == 3 * 6 * (2 * 4 * 2) * 3


@pytest.mark.parametrize('size', ['tiny', 'S'])
def test_every_row_sees_exactly_78_patches(size):
  objective_ = recipes.mae(size=size)
  keys = jax.random.split(jax.random.key(0), 64)
  index = np.asarray(jax.jit(objective_.draw)(keys))
  assert index.shape == (64, 78)
  assert index.min() >= 0
  assert index.max() < 1568
  assert all(len(set(row)) == 78 for row in index)


def test_masks_are_uniform_over_places(small):
  keys = jax.random.split(jax.random.key(0), 6000)
  index = np.asarray(jax.jit(small().draw)(keys))
  counts = np.bincount(index.reshape(-1), minlength=24)
  expected, deviation = 6000 / 4, np.sqrt(6000 * 3 / 16)
  assert abs(counts - expected).max() < 4.5 * deviation


def test_a_tube_is_the_same_place_at_all_times(small):
  objective_ = small(mask='tube')
  keys = jax.random.split(jax.random.key(0), 50)
  index = np.asarray(objective_.draw(keys))
  assert index.shape == (50, 6)
  np.testing.assert_array_equal(index[:, :3] + 12, index[:, 3:])
  assert len({tuple(row) for row in index}) > 10


def test_as_many_patches_of_each_frame_are_in_tubes(small):
  """Of 12 in a frame 4.56 are 5; of 24 in both 9.12 would be 9."""
  assert small(mask='tube', mask_ratio=0.62).visible == 2 * 5
  assert small(mask='random', mask_ratio=0.62).visible == 9


def test_a_rows_mask_depends_on_its_number_only(small, batch):
  objective_, rng = small(), jax.random.key(5)
  whole = objective_.draw(objective.row_keys(rng, batch))
  part = {name: value[1:] for name, value in batch.items()}
  rest = objective_.draw(objective.row_keys(rng, part))
  np.testing.assert_array_equal(whole[1:], rest)
  other = objective_.draw(objective.row_keys(jax.random.key(6), batch))
  assert (whole != other).any()
  assert (whole[0] != whole[1]).any()


def test_micro_batches_average_to_the_batch(small, params, batch):
  loss, rng = jitted(small(loss_on='masked')), jax.random.key(2)
  whole, _ = loss(params, batch, rng)
  parts = []
  for i in range(3):
    part = {name: value[i : i + 1] for name, value in batch.items()}
    parts.append(loss(params, part, rng)[0])
  np.testing.assert_allclose(np.mean(parts), whole, rtol=1e-5)


def test_the_published_costs():
  """GFLOP of one clip's step, without the linear head, from the paper."""
  published = {'S': 34, 'B': 121, 'L': 280, 'H': 505, 'G': 1260, 'e': 2460}
  for name, giga in (published | {'j': 13_300}).items():
    flops = recipes.mae(size=name).flops({'video': np.zeros(1)})
    without = (sum(flops.values()) - flops['head']) / 1e9
    assert without == pytest.approx(giga, rel=0.01), name


def test_flops_are_the_compilers(batch):
  """The formula against XLA's count, on a model of matrix products mostly."""
  objective_ = recipes.mae(
    dim=64,
    depth=3,
    mlp=256,
    heads=1,
    frames=4,
    height=8,
    width=12,
    patch=(2, 4, 2),
    output_patch=(2, 2, 4),
    mask_ratio=0.5,
    dtype='float32',
    scan=False,
    attention='plain',
  )
  params = jax.eval_shape(objective_.init, jax.random.key(0), batch)
  step = jax.jit(jax.grad(lambda *x: objective_.loss(*x)[0]))
  compiled = step.lower(params, batch, jax.random.key(0)).compile()
  counted = compiled.cost_analysis()['flops']
  formula = sum(objective_.flops(batch).values())
  assert counted == pytest.approx(formula, rel=0.15)


@pytest.mark.parametrize(
  ('normalise', 'mask'), [(False, 'tube'), (True, 'random')]
)
def test_pictures_show_input_output_and_truth(
  normalise, mask, small, params, batch
):
  objective_ = small(normalise_target=normalise, mask=mask)
  index = objective_.draw(objective.row_keys(jax.random.key(2), batch))
  pixels = np.asarray(
    jax.jit(objective_.reconstruct)(params, batch['video'], index)
  )
  truth = np.asarray(batch['video']) / np.float32(255)
  masked, output = np.full_like(truth, 0.5), np.empty_like(truth)
  for row, clip in enumerate(truth):
    for place in np.asarray(index[row]):
      masked[row][patch_at(place)] = clip[patch_at(place)]
    for place in range(6):
      where = output_patch_at(place)
      made = pixels[row, place].reshape(4, 4, 4, 3)
      if normalise:
        made = made * np.sqrt(clip[where].var() + 1e-6) + clip[where].mean()
      output[row][where] = np.clip(made, 0, 1)
  # Or nothing would be left to compare.
  assert ((output > 0) & (output < 1)).mean() > 0.2
  pictures = jax.jit(objective_.pictures)(params, batch, jax.random.key(2))
  found = np.split(np.asarray(pictures['reconstruction']), 3, axis=2)
  for part, wanted in zip(found, (masked, output, truth), strict=True):
    np.testing.assert_allclose(part, wanted, atol=1e-5)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'size': 'XL'}, 'did you mean'),
    ({'mask': 'tubes'}, "mask 'tubes': expected one of random"),
    ({'loss_on': 'seen'}, 'expected one of all, masked'),
    ({'dtype': 'float16'}, 'expected one of float32, bfloat16'),
    ({'attention': 'flash'}, 'expected one of auto, plain'),
    ({'patch': (2, 3, 2)}, 'model.patch=.* height=8 is not a multiple of 3'),
    ({'output_patch': (3, 4, 4)}, 'model.output_patch=.* frames=4'),
    ({'mask_ratio': 0.99}, r'of 24 patches 0 are seen. Lower it'),
    ({'mask_ratio': 1.5}, 'at least 0 and leave a patch, got 1.5'),
    ({'mask_ratio': 0.0, 'loss_on': 'masked'}, 'leaves all 24 visible'),
    ({'decoder_blocks': 5}, 'must be 1 to 4'),
    ({'heads': 3}, 'heads must divide width'),
  ],
  ids=str,
)
def test_bad_options_say_what_to_do(options, message, small):
  with pytest.raises(ValueError, match=message):
    small(**options)


def test_bad_clips_are_refused_before_the_first_step(small, batch):
  wrong = batch | {'video': batch['video'][:, :, :, :4]}
  with pytest.raises(ValueError, match=r'got shape \(3, 4, 8, 4, 3\)'):
    small().init(jax.random.key(0), wrong)
