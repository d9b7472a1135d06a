"""MooG's recurrent and dense readouts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import readout
from models.moog.readout import (
  ConditionalAutoregressiveReadout,
  DenseHead,
  DenseReadout,
  RecurrentHead,
)
from models.readout import fourier
from tests.models.moog import reference


@pytest.fixture(scope='module', autouse=True)
def quick_to_compile():
  """These programs run once: compiling them well takes longer than they do."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


def size_of(head, *inputs):
  made = jax.eval_shape(head.init, jax.random.key(0), *inputs)
  return sum(leaf.size for leaf in jax.tree.leaves(made))


def test_parameter_counts_are_the_published_ones():
  features = jnp.zeros((1, 2, 5, 512))
  sizes = dict(readout.RECIPES['paper']['moog'])
  head = ConditionalAutoregressiveReadout(values=2, logits=2, **sizes)
  assert size_of(head, features, jnp.zeros((1, 3, 2))) == 11_324_804
  del sizes['width']  # a pixel's is that of tokens and of its place
  place = jnp.zeros((1, 2, 3), int)

  def dense(rng):
    return DenseReadout(**sizes).init(rng, features, place, place, (8, 12))

  made = jax.eval_shape(dense, jax.random.key(0))
  assert sum(leaf.size for leaf in jax.tree.leaves(made)) == 10_434_817


def small():
  return ConditionalAutoregressiveReadout(
    values=4, logits=2, width=12, layers=2, heads=2, head_dim=6, mlp=14, bases=3
  )


def inputs(t=5):
  rng = np.random.default_rng(0)
  features = rng.normal(size=(2, t, 7, 10)).astype(np.float32)
  asked = rng.uniform(size=(2, 3, 4)).astype(np.float32)
  return jnp.asarray(features), jnp.asarray(asked)


def params_of(head, *args):
  params = jax.jit(head.init)(jax.random.key(1), *args)['params']
  # Biases and scales start at 0 and 1, which would hide a missing one.
  return jax.tree.map(
    lambda p: p + 0.3 * np.random.default_rng(p.size).normal(size=p.shape),
    params,
  )


def mlp(x, p):
  hidden = reference.gelu(reference.linear(x, p['dense_in']))
  return reference.linear(hidden, p['dense_out'])


def test_the_recurrent_readout_is_the_published_graph():
  head, (features, asked) = small(), inputs()
  params = params_of(head, features, asked)
  frames = jnp.asarray([[0, 2, 0], [4, 0, 1]])
  got = jax.jit(head.apply)({'params': params}, features, asked, frames)
  p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
  for b in range(2):
    start = mlp(np.asarray(fourier(asked[b], 3)), p['query'])
    state = start
    for t, tokens in enumerate(np.asarray(features[b], np.float64)):
      now = np.asarray(frames[b]) == t
      state = np.where(now[:, None], start, state)
      corrected = state + reference.transformer(state, p['reader'], tokens)
      values, logits = mlp(corrected, p['values']), mlp(corrected, p['logits'])
      np.testing.assert_allclose(got.values[b, t], values, atol=2e-4)
      np.testing.assert_allclose(got.logits[b, t], logits, atol=2e-4)
      state = corrected + mlp(corrected, p['predictor'])
      state = reference.norm(state, p['norm']['scale'], 1e-4)
    np.testing.assert_allclose(got.state[b], state, atol=2e-4)


def test_chunks_with_carried_state_equal_the_whole():
  head, (features, asked) = small(), inputs()
  params = {'params': params_of(head, features, asked)}
  run = jax.jit(head.apply)
  whole = run(params, features, asked)
  state, values = None, []
  for first, end in ((0, 2), (2, 5)):
    part = run(params, features[:, first:end], asked, state=state)
    values.append(part.values)
    state = part.state
  np.testing.assert_allclose(
    np.concatenate(values, axis=1), whole.values, atol=1e-5
  )
  np.testing.assert_allclose(state, whole.state, atol=1e-5)


def test_queries_are_independent():
  head, (features, asked) = small(), inputs()
  params = {'params': params_of(head, features, asked)}
  run = jax.jit(head.apply)
  every, alone = (
    run(params, features, asked),
    run(params, features, asked[:, 1:2]),
  )
  np.testing.assert_allclose(every.values[:, :, 1:2], alone.values, atol=1e-5)


def test_the_dense_readout_decodes_each_frame_from_its_tokens():
  head = DenseReadout(outputs=1, layers=2, heads=2, head_dim=6, mlp=14, bases=2)
  features, _ = inputs()
  rows = jnp.broadcast_to(jnp.arange(1, 8, 2), (2, 5, 4))
  columns = jnp.broadcast_to(jnp.arange(0, 12, 4), (2, 5, 3))

  def init(rng):
    return head.init(rng, features, rows, columns, (8, 12))

  params = jax.jit(init)(jax.random.key(1))['params']
  params = jax.tree.map(
    lambda p: p + 0.3 * np.random.default_rng(p.size).normal(size=p.shape),
    params,
  )
  got = jax.jit(
    lambda params: head.apply(
      {'params': params}, features, rows, columns, (8, 12)
    )
  )(params)
  assert got.shape == (2, 5, 4, 3, 1)
  numbers = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
  place = reference.places(8, 12)[1::2, ::4].reshape(-1, 2)
  want = reference.decode(
    np.asarray(features[1, 3], np.float64), numbers['reader'], place, 2
  )
  np.testing.assert_allclose(got[1, 3].reshape(-1, 1), want, atol=2e-4)


def test_a_head_gives_the_answers_copy_by_copy():
  """Two copies of a query, of three frames each; the frame may be asked for."""
  features, asked = inputs(t=6)
  head = RecurrentHead(small(), frames=6, copies=2)
  params = {'params': params_of(small(), features, asked)}
  want = jax.jit(small().apply)(params, features, asked)
  got = np.asarray(jax.jit(head.apply)(params, features, asked))
  numbers = np.concatenate([want.values, want.logits], axis=-1)
  assert got.shape == (2, 3 * 2, 3 * 6)
  for t in range(6):
    for query in range(3):
      copy, place = divmod(t, 3)
      np.testing.assert_allclose(
        got[:, 2 * query + copy, 6 * place : 6 * place + 6],
        numbers[:, t, query],
        atol=1e-5,
      )
  frames = jnp.asarray([[0, 2, 5], [1, 4, 3]])
  timed = RecurrentHead(small(), frames=6, timed=True)
  when = (frames[..., None] + 0.5) / 6
  got = jax.jit(timed.apply)(
    params, features, jnp.concatenate([asked, when], axis=-1)
  ).reshape(2, 3, 6, 6)
  want = jax.jit(small().apply)(params, features, asked, frames)
  np.testing.assert_allclose(
    got[..., :4], np.swapaxes(want.values, 1, 2), atol=1e-5
  )


def test_a_head_goes_back_from_the_frame_of_its_query():
  """Before it, as it answers on the clip turned round; from it on, as ever."""
  features, asked = inputs(t=6)
  frames = jnp.asarray([[0, 2, 5], [1, 4, 3]])
  params = {'params': params_of(small(), features, asked)}

  def answers(both_ways, features, frames):
    head = RecurrentHead(small(), frames=6, timed=True, both_ways=both_ways)
    when = (frames[..., None] + 0.5) / 6
    timed = jnp.concatenate([asked, when], axis=-1)
    found = jax.jit(head.apply)(params, features, timed)
    return np.asarray(found).reshape(2, 3, 6, 6)

  got = answers(True, features, frames)
  forward = answers(False, features, frames)
  turned = answers(False, features[:, ::-1], 5 - frames)[:, :, ::-1]
  before = np.arange(6) < np.asarray(frames)[..., None]
  np.testing.assert_allclose(got[~before], forward[~before], atol=1e-6)
  np.testing.assert_allclose(got[before], turned[before], atol=1e-6)
  assert abs(turned - forward)[before].max() > 1e-2


@pytest.mark.parametrize('sizes', [(2, 4), (1, 1, 4), (5, 1)])
def test_a_head_goes_on_in_parts_of_any_size(sizes):
  """Queries of frames 0 to 5; in a part, most are of another one."""
  features, asked = inputs(t=6)
  frames = jnp.asarray([[0, 2, 5], [1, 4, 3]])
  params = {'params': params_of(small(), features, asked)}

  def carry(first, end, state):
    size = end - first
    when = (frames[..., None] - first + 0.5) / size
    head = RecurrentHead(small(), frames=size, timed=True)
    timed = jnp.concatenate([asked, when], axis=-1)
    run = jax.jit(head.carry)
    found, state = run(params, features[:, first:end], timed, state)
    return found.reshape(2, 3, size, 6), state

  whole, last = carry(0, 6, None)
  state, parts, first = None, [], 0
  for size in sizes:
    part, state = carry(first, first + size, state)
    parts.append(part)
    first += size
  np.testing.assert_allclose(np.concatenate(parts, axis=2), whole, atol=1e-5)
  np.testing.assert_allclose(state, last, atol=1e-5)


def test_a_dense_head_gives_all_pixels_patch_by_patch():
  features, _ = inputs(t=2)
  reader = DenseReadout(outputs=1, layers=1, heads=2, head_dim=4, mlp=8)
  head = DenseHead(reader, (2, 4, 6), (2, 2, 3), bias=3.0)
  params = jax.jit(head.init)(jax.random.key(0), features, None)
  got = np.asarray(jax.jit(head.apply)(params, features, None))
  rows = jnp.broadcast_to(jnp.arange(4), (2, 2, 4))
  columns = jnp.broadcast_to(jnp.arange(6), (2, 2, 6))
  want = jax.jit(
    lambda params: reader.apply(params, features, rows, columns, (4, 6))
  )(params)
  assert got.shape == (2, 4, 12)
  # The last patch: rows 2 and 3, columns 3 to 5, of both frames.
  np.testing.assert_allclose(
    got[:, 3].reshape(2, 2, 2, 3), 3 + want[:, :, 2:, 3:, 0], atol=1e-5
  )
