"""Distillation: who learns, from what, and what readouts see."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from models import distill, objective
from tests.models import recipes

CLIP = {'frames': 4, 'height': 16, 'width': 24, 'depth': 0.95}
STUDENT = {
  **recipes.VIT,
  **{'dim': 16, 'depth': 2, 'mlp': 32, 'heads': 2, 'patch': (2, 8, 8)},
  'scan': False,
}
TEACHER = {**STUDENT, 'dim': 24, 'depth': 5, 'heads': 3}


@pytest.fixture(scope='module')
def made():
  return distill.make(student=STUDENT, teacher=TEACHER, **CLIP)


@pytest.fixture(scope='module')
def batch():
  rng = np.random.default_rng(0)
  video = rng.integers(0, 256, (3, 4, 2, 3, 3), dtype=np.uint8)
  return {'video': jnp.asarray(video.repeat(8, axis=2).repeat(8, axis=3))}


@pytest.fixture(scope='module')
def params(made, batch):
  return jax.jit(made.init)(jax.random.key(0), batch)


def loss(made, params, batch):
  return made.loss(params, batch, jax.random.key(0))[0]


def test_the_student_learns_and_the_teacher_does_not(made, params, batch):
  grads = jax.jit(jax.grad(lambda p: loss(made, p, batch)))(params)
  reached = jax.tree.map(lambda g: float(jnp.abs(g).max()) > 0, grads)
  assert not any(jax.tree.leaves(reached['teacher']))
  # A bias that all keys share changes no softmax.
  reached['student']['processor']['layers']['attention']['key'].pop('bias')
  assert all(jax.tree.leaves([reached['student'], reached['head']]))


def test_a_few_clips_are_learned(made, params, batch):
  tx = optax.adam(1e-2)

  @jax.jit
  def step(params, state):
    value, grads = jax.value_and_grad(lambda p: loss(made, p, batch))(params)
    updates, state = tx.update(grads, state)
    return optax.apply_updates(params, updates), state, value

  state, first = tx.init(params), None
  for _ in range(150):
    params, state, value = step(params, state)
    first = first or value
  assert first > 0.9
  assert value < 0.25
  _, metrics = jax.jit(made.loss)(params, batch, jax.random.key(0))
  assert metrics['cosine'] > 0.85


def test_the_target_is_the_teachers_feature_at_95_percent(made, params, batch):
  target = np.asarray(jax.jit(made.target)(params, batch['video']))
  run = jax.jit(made.teacher.inputs)
  inputs = run(params['teacher'], batch['video'])
  # Of 6 features, the one at int(6 * .95) - 1 = 4: the input of block 3.
  want = np.array(inputs[3])
  want -= want.mean(-1, keepdims=True)
  want /= want.std(-1, keepdims=True)
  np.testing.assert_allclose(target, want, atol=1e-4)


def test_readouts_need_no_teacher(made, params, batch):
  config = {'name': 'distill', **CLIP, 'student': STUDENT, 'teacher': TEACHER}
  alone = objective.make(**objective.for_readouts(**config))
  shapes = jax.eval_shape(alone.init, jax.random.key(0), batch)
  assert shapes.keys() == {'student'}
  student = {'student': params['student']}
  np.testing.assert_array_equal(
    jax.jit(alone.features)(student, batch['video']).tokens,
    jax.jit(made.features)(params, batch['video']).tokens,
  )


def test_flops_are_the_compilers(batch):
  wide = {**STUDENT, 'dim': 64, 'mlp': 256, 'attention': 'plain'}
  made = distill.make(student=wide, teacher={**wide, 'depth': 4}, **CLIP)
  params = jax.eval_shape(made.init, jax.random.key(0), batch)

  def learned(student, head, teacher, batch):
    params = {'student': student, 'head': head, 'teacher': teacher}
    return loss(made, params, batch)

  step = jax.jit(jax.grad(learned, argnums=(0, 1)))
  parts = [params[key] for key in ('student', 'head', 'teacher')]
  compiled = step.lower(*parts, batch).compile()
  counted = compiled.cost_analysis()['flops']
  formula = sum(made.flops(batch).values())
  assert counted == pytest.approx(formula, rel=0.15)


def test_pictures_show_the_video_and_both_features(made, params, batch):
  clips = jax.jit(made.pictures)(params, batch, jax.random.key(1))['features']
  assert clips.shape == (3, 4, 48, 24, 3)
  assert 0 <= clips.min() < clips.max() <= 1
  np.testing.assert_allclose(clips[:, :, :16], batch['video'] / 255, atol=1e-6)
  # One colour for each token.
  assert (clips[:, 0, 16:24, :8] == clips[:, :1, 16:17, :1][:, 0]).all()


def test_tokens_at_other_places_are_refused():
  other = {**TEACHER, 'patch': (2, 4, 8)}
  with pytest.raises(ValueError, match=r'grid of \(2, 2, 3\), model\.teacher'):
    distill.make(student=STUDENT, teacher=other, **CLIP)
