import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.common import training
from train import optim

PARAMS = {
  'mlp': {'kernel': jnp.ones((3, 2)), 'bias': jnp.ones(2)},
  'head': {'kernel': jnp.ones((2, 5))},
}


def make(**options):
  """The optimizer of the recipes, with other options."""
  given = training(
    lr=0.1, warmup_fraction=0.0, every=1, log_every=1, health_every=0
  )['optim']
  changes = {'clip_norm': 0.0, 'final_lr': 0.0}
  return optim.make(**{'steps': 10} | given | changes | options)


def update(**options):
  tx, _ = make(**options)
  zeros = jax.tree.map(jnp.zeros_like, PARAMS)
  updates, _ = tx.update(zeros, tx.init(PARAMS), PARAMS, step=0)
  return updates


def test_decay_reaches_only_what_its_regexes_match():
  updates = update(weight_decay=0.5, decay=(r'mlp/kernel',))
  np.testing.assert_allclose(updates['mlp']['kernel'], -0.05)
  assert not updates['mlp']['bias'].any()
  assert not updates['head']['kernel'].any()


def test_a_regex_that_matches_nothing_is_an_error():
  with pytest.raises(ValueError, match='matches no parameter'):
    update(weight_decay=0.5, decay=(r'mpl/kernel',))


def test_a_regex_matches_whole_paths():
  params = {'head': 1, 'head_norm': 1, 'my': {'head': 1}, 'norm': 1}
  assert optim.matches(['head', 'no.*'], params) == {
    **{'head': True, 'head_norm': False, 'my': {'head': False}, 'norm': True}
  }
  for part in ('hea', 'y/head', 'orm'):
    with pytest.raises(ValueError, match='matches no parameter'):
      optim.matches([part], params)


def test_an_update_is_clipped_then_ruled_then_decayed_then_scaled():
  """Two updates of AdamW (arXiv 1711.05101), written out."""
  tx, rate = make(
    **{'weight_decay': 0.5, 'decay': ['w'], 'clip_norm': 1.0, 'b1': 0.9},
    **{'b2': 0.95, 'multipliers': [['w', [0.5, 2.0]]]},
  )
  params = {'w': jnp.array([3.0, -1.0])}
  state = tx.init(params)
  m, v = np.zeros(2), np.zeros(2)
  for step, given in enumerate(([30.0, 40.0], [0.3, -0.4])):
    norm = np.linalg.norm(given)
    updates, state = tx.update(
      {'w': jnp.array(given)}, state, params, step=step, norm=jnp.array(norm)
    )
    clipped = np.array(given) / max(1.0, norm)
    m = 0.9 * m + 0.1 * clipped
    v = 0.95 * v + 0.05 * clipped**2
    rule = m / (1 - 0.9 ** (step + 1))
    rule /= np.sqrt(v / (1 - 0.95 ** (step + 1))) + 1e-8
    expected = -rate(step) * (rule + 0.5 * params['w']) * np.array([0.5, 2.0])
    np.testing.assert_allclose(updates['w'], expected, rtol=1e-5)
    params = optax.apply_updates(params, updates)


def test_lion_looks_by_b1_and_remembers_by_b2():
  """Of arXiv 2302.06675: the sign of what the first moment nearly is."""
  tx, _ = make(
    **{'name': 'lion', 'b1': 0.9, 'b2': 0.95, 'weight_decay': 0.0, 'lr': 0.1}
  )
  params = {'w': jnp.zeros(2)}
  state = tx.init(params)
  for gradient in ([1.0, 1.0], [-0.6, -0.4]):
    updates, state = tx.update(
      {'w': jnp.array(gradient)}, state, params, step=0
    )
  np.testing.assert_allclose(updates['w'], [0.1, -0.1], rtol=1e-6)


@pytest.mark.parametrize('name', ['adamw', 'lion', 'adafactor', 'sgd'])
def test_every_optimizer_descends(name):
  tx, _ = make(name=name, steps=60, lr=0.05, weight_decay=0.0)
  params = jnp.array([1.0, -2.0, 3.0])
  state = tx.init(params)
  for step in range(40):
    updates, state = tx.update(2 * params, state, params, step=step)
    params += updates
  assert jnp.sum(params**2) < 7


@pytest.mark.parametrize(
  ('name', 'times'), [('adamw', 1), ('lion', 1), ('adafactor', 1), ('sgd', 100)]
)
def test_which_updates_grow_with_the_gradient(name, times):
  tx, _ = make(name=name, weight_decay=0.0)
  small, large = (
    tx.update(
      jax.tree.map(lambda p, by=by: by * p, PARAMS),
      *(tx.init(PARAMS), PARAMS),
      step=0,
    )[0]
    for by in (1.0, 100.0)
  )
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(times * x, y, rtol=1e-4),
    *(small, large),
  )


@pytest.mark.parametrize('name', ['adamw', 'lion', 'sgd'])
def test_the_first_moment_in_bfloat16(name):
  grads = jax.tree.map(lambda p: 0.3 * p + 0.01, PARAMS)
  updates = {}
  for dtype in ('float32', 'bfloat16'):
    tx, _ = make(
      name=name,
      steps=9,
      lr=0.1,
      schedule='constant',
      weight_decay=0.0,
      moment_dtype=dtype,
    )
    state = tx.init(PARAMS)
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]
    # Its second moment stays in float32.
    rounded = len(jax.tree.leaves(PARAMS)) if dtype == 'bfloat16' else 0
    assert sum(leaf.dtype == 'bfloat16' for leaf in moments) == rounded
    kinds = jax.tree.map(lambda leaf: leaf.dtype, state)
    for step in range(3):
      updates[dtype], state = tx.update(grads, state, PARAMS, step=step)
    # A step that is compiled once needs the state that it gives back.
    assert jax.tree.map(lambda leaf: leaf.dtype, state) == kinds
  for a, b in zip(*map(jax.tree.leaves, updates.values())):
    assert a.dtype == b.dtype == 'float32'
    np.testing.assert_allclose(a, b, rtol=1e-2)


def test_clipping_bounds_the_global_norm():
  tx, _ = make(
    name='sgd', steps=9, lr=1.0, b1=0.0, weight_decay=0.0, clip_norm=1.0
  )
  grads = jax.tree.map(lambda p: 100 * p, PARAMS)
  updates, _ = tx.update(
    grads, tx.init(PARAMS), PARAMS, step=0, norm=optax.tree.norm(grads)
  )
  norm = sum(jnp.sum(u**2) for u in jax.tree.leaves(updates)) ** 0.5
  assert norm == pytest.approx(1.0, rel=1e-5)


def test_what_is_below_the_bound_is_left_as_it_is():
  tx, _ = make(name='sgd', lr=1.0, b1=0.0, weight_decay=0.0, clip_norm=1.0)
  grads = {'w': jnp.array([0.3, 0.4])}
  updates, _ = tx.update(grads, tx.init(grads), grads, step=0, norm=0.5)
  np.testing.assert_allclose(updates['w'], [-0.3, -0.4], rtol=1e-6)


@pytest.mark.parametrize(
  ('schedule', 'last'),
  [('cosine', 0.1), ('linear', 0.1), ('constant', 1.0), ('rsqrt', 0.2**0.5)],
)
def test_schedules_warm_up_and_end_where_they_say(schedule, last):
  final = 0.1 if schedule in ('cosine', 'linear') else 0.0
  _, rate = make(
    steps=100, lr=1.0, schedule=schedule, warmup_fraction=0.2, final_lr=final
  )
  assert rate(0) == 0
  assert rate(10) == pytest.approx(0.5)
  assert rate(20) == pytest.approx(1.0)
  assert rate(100) == pytest.approx(last, rel=1e-5)


def test_wrong_options_are_errors():
  with pytest.raises(ValueError, match=r"optim\.name 'adam': .*'adamw'"):
    update(name='adam')
  with pytest.raises(ValueError, match=r"optim\.schedule 'cos': .*'cosine'"):
    update(schedule='cos')
  with pytest.raises(ValueError, match=r'fraction=1\.0 must be at least 0 and'):
    update(warmup_fraction=1.0)
  with pytest.raises(ValueError, match=r"moment_dtype='float16' must be one"):
    update(moment_dtype='float16')
  for schedule in ('constant', 'rsqrt'):
    with pytest.raises(ValueError, match=r'final_lr=0\.01: .* does not end'):
      update(schedule=schedule, final_lr=0.01)
  with pytest.raises(ValueError, match='adafactor keeps no first moment'):
    update(name='adafactor', moment_dtype='bfloat16')


def test_multipliers_by_path_and_along_the_first_axis():
  params = {'a': jnp.ones((3, 2)), 'b': jnp.ones(2), 'ab': jnp.ones(2)}
  tx, _ = make(
    steps=10,
    lr=0.1,
    name='sgd',
    schedule='constant',
    weight_decay=0.0,
    multipliers=[['a', [1.0, 0.5, 0.0]], ['b', 0.1], ['.*', 2.0]],
  )
  updates, _ = tx.update(params, tx.init(params), params, step=0)
  np.testing.assert_allclose(updates['a'][:, 0], [-0.1, -0.05, 0.0])
  np.testing.assert_allclose(updates['b'], -0.01)
  np.testing.assert_allclose(updates['ab'], -0.2)
  wrong, _ = make(
    steps=10, lr=0.1, weight_decay=0.0, multipliers=[['a', [1.0, 2.0]]]
  )
  with pytest.raises(ValueError, match='has 2 numbers, a has shape'):
    wrong.update(params, wrong.init(params), params, step=0)


def test_decays_by_path_and_along_the_first_axis():
  params = {'a': jnp.ones((3, 2)), 'b': jnp.ones(2), 'bias': jnp.ones(2)}
  options = {
    **{'steps': 10, 'lr': 0.1, 'name': 'sgd', 'schedule': 'constant'},
    **{'weight_decay': 0.5, 'decay': ('a', 'b')},
  }
  tx, _ = make(**options, decay_multipliers=[['a', [1.0, 0.5, 0.0]]])
  zero = jax.tree.map(jnp.zeros_like, params)
  updates, _ = tx.update(zero, tx.init(params), params, step=0)
  np.testing.assert_allclose(updates['a'][:, 0], [-0.05, -0.025, 0.0])
  np.testing.assert_allclose(updates['b'], -0.05)
  assert not updates['bias'].any()
  wrong, _ = make(**options, decay_multipliers=[['a', [1.0, 2.0]]])
  with pytest.raises(ValueError, match=r"decay_multipliers\['a'\] has 2 num"):
    wrong.update(zero, wrong.init(params), params, step=0)


def test_decays_that_a_rule_does_not_have_are_told():
  given = training(
    lr=0.1, warmup_fraction=0.0, every=1, log_every=1, health_every=0
  )['optim']

  def said(name):
    return optim.unused(**given | {'name': name})

  assert said('adamw') == said('lion') == ''
  assert said('sgd') == 'optim.name=sgd does not use optim.b2=0.95'
  assert said('adafactor').endswith(
    'does not use optim.b1=0.9 and optim.b2=0.95'
  )


def test_a_run_may_go_on_with_other_options_of_its_optimizer():
  """A checkpoint names what it holds by its place in the chain."""

  def places(**options):
    tx, _ = make(**options)
    leaves = jax.tree_util.tree_leaves_with_path(tx.init(PARAMS))
    return [optim.path_name(path) for path, _ in leaves]

  plain = places(clip_norm=0.0, weight_decay=0.0)
  assert places(clip_norm=1.0, weight_decay=0.0) == plain
  assert places(clip_norm=0.0, weight_decay=0.1, multipliers=[['.*', 2.0]]) == (
    plain
  )


def test_the_rate_is_that_of_the_step_however_many_updates_there_were():
  tx, rate = make(name='sgd', b1=0.0, weight_decay=0.0, final_lr=0.0)
  updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS, step=4)
  np.testing.assert_allclose(updates['head']['kernel'], -rate(4))


def test_mup_scales_what_the_rule_makes_and_not_the_decay():
  head = {'head': {'kernel': jnp.ones((8, 2)), 'bias': jnp.ones(2)}}
  gradients = jax.tree.map(jnp.ones_like, head)

  def updated(**options):
    tx, _ = make(weight_decay=0.5, decay=(r'.*/kernel',), **options)
    updates, _ = tx.update(gradients, tx.init(head), head, step=0)
    return updates['head']

  plain, mup = updated(), updated(parametrisation='mup', base_width=2)
  # Adam's first step is 1 everywhere: lr x (1 / 4 + 0.5), in place of 1 + 0.5.
  np.testing.assert_allclose(plain['kernel'], -0.15, rtol=1e-4)
  np.testing.assert_allclose(mup['kernel'], -0.075, rtol=1e-4)
  np.testing.assert_array_equal(mup['bias'], plain['bias'])


def test_mup_that_cannot_work_is_refused():
  with pytest.raises(ValueError, match=r'optim\.base_width=0: mup needs'):
    make(parametrisation='mup')
  with pytest.raises(ValueError, match='has other rules'):
    make(parametrisation='mup', base_width=64, name='sgd')
  with pytest.raises(ValueError, match=r'optim\.parametrisation'):
    make(parametrisation='mpu', base_width=64)
