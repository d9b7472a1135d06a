"""The class task: head, loss, labels that do not count, majority, pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evals import metrics
from evals.tasks import classify
from tests.evals import recipes


def _batch(labels=(3, 0, 5), t=4, h=16, w=24):
  rng = np.random.default_rng(0)
  video = rng.integers(0, 256, (len(labels), t, h, w, 3))
  return {
    'video': jnp.asarray(video, jnp.uint8),
    'label': jnp.asarray(labels, jnp.int32),
  }


@pytest.mark.parametrize(
  ('options', 'count'),
  [
    ({'classes': 174}, 7_041_966),  # Something-Something v2
    ({'classes': 700, 'width': 1024, 'heads': 16}, 12_281_532),  # Kinetics-700
  ],
)
def test_heads_have_the_published_parameters(options, count):
  head = recipes.task('classify', **options).head((16, 224, 224))
  tokens = jnp.zeros((1, 8, 9, 1024))
  shapes = jax.eval_shape(head.init, jax.random.key(0), tokens)
  assert sum(x.size for x in jax.tree.leaves(shapes)) == count


def test_loss_and_labels_that_do_not_count():
  batch, task = _batch((2, -1, 7)), recipes.task('classify', classes=7)
  logits = jnp.zeros((3, 1, 7)).at[0, 0, 2].set(np.log(6.0))
  predicted = task.predict(logits, batch)
  loss = task.loss(predicted, batch)
  assert loss[0] == pytest.approx(np.log(2), rel=1e-6)
  assert loss[1] == 0
  assert np.isnan(loss[2])  # a class too many: the run must not go on
  np.testing.assert_array_equal(task.sums(predicted, batch)['count'], [1, 0, 1])
  slope = jax.grad(lambda x: task.loss(x, batch)[:2].sum())(predicted)
  assert np.isfinite(slope).all()
  assert not slope[1].any()


def test_the_trivial_answer_is_the_majority_of_the_training_labels():
  task = recipes.task('classify', classes=8)
  facts = task.facts(_batch((4, 4, 4, 6, 6, 1, -1)))
  np.testing.assert_array_equal(
    facts['labels'].sum(0), [0, 1, 0, 0, 3, 0, 2, 0]
  )
  facts = jax.tree.map(lambda x: x.sum(0), facts)
  batch = _batch((4, 6, 1, 0, 7))
  sums = jax.device_get(task.sums(task.trivial(facts, batch), batch))
  np.testing.assert_array_equal(sums['top1'], [1, 0, 0, 0, 0])
  np.testing.assert_array_equal(sums['top5'], [1, 1, 1, 1, 0])
  assert task.scores(metrics.total(sums)) == {'top1': 0.2, 'top5': 0.8}


def test_pictures_say_what_it_is():
  batch, task = jax.device_get(_batch()), recipes.task('classify', classes=7)
  ((name, clips),) = task.pictures(np.eye(7, dtype='f')[:3], batch).items()
  assert name == 'classify'
  assert clips.dtype == np.uint8
  assert clips.shape == (3, 4, 8 * 16, 8 * 24, 3)
  assert (clips[0, :, :12] == 255).any()
  names = ['push', 'pull', 'fall', 'turn', 'lift']
  named = recipes.task('classify', classes=7, names=names)
  (other,) = named.pictures(np.eye(7, dtype='f')[:3], batch).values()
  assert (other != clips)[0, :, :12].any()
  assert (other[:, :, 24:] == clips[:, :, 24:]).all()
  assert [classify.called(i, names) for i in (4, 5, -1)] == ['lift', '5', '-1']


def test_clear_errors():
  with pytest.raises(ValueError, match='classes=1 must be 2 or more'):
    recipes.task('classify', classes=1)
