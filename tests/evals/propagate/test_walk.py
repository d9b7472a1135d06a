"""Labels carried by features: against loops, and in pieces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evals.propagate import walk

GRID = 3, 5
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(7, 15, 6)).astype(np.float32)
LABELS = RNG.dirichlet(np.ones(4), size=15).astype(np.float32)


def slow(options):
  """The same, place by place."""
  unit = FEATURES / np.linalg.norm(FEATURES, axis=-1, keepdims=True)
  labels = []
  for t, frame in enumerate(unit):
    sources = [(unit[0], LABELS, True)]
    for before in range(max(1, t - options.context), t):
      sources.append((unit[before], labels[before], False))
    found = []
    for place, query in enumerate(frame):
      row, column = divmod(place, GRID[1])
      seen = []
      for keys, known, is_first in sources:
        for other in range(len(keys)):
          dy, dx = abs(other // GRID[1] - row), abs(other % GRID[1] - column)
          near = max(dy, dx) <= options.neighbourhood
          if options.disc:
            near = dy**2 + dx**2 < options.neighbourhood**2
          anywhere = not options.neighbourhood
          anywhere |= options.first_everywhere and is_first
          if near or anywhere:
            like = query @ keys[other] / options.temperature
            seen.append((like, known[other]))
      seen = sorted(seen, key=lambda x: -x[0])[: options.topk]
      weight = np.exp([like for like, _ in seen])
      weight /= weight.sum()
      found.append(weight @ np.stack([each for _, each in seen]))
    labels.append(np.stack(found))
  return np.stack(labels)


def carried(options, windows=(7,)):
  seen = walk.start(
    jnp.asarray(FEATURES[0]), jnp.asarray(LABELS), options.context
  )
  found, at = [], 0
  for size in windows:
    seen, labels = walk.advance(
      seen, jnp.asarray(FEATURES[at : at + size]), grid=GRID, options=options
    )
    found.append(jax.device_get(labels))
    at += size
  return np.concatenate(found)


@pytest.mark.parametrize(
  'options',
  [
    walk.Options(2, 1, 3, 0.1),
    walk.Options(0, 1, 30, 0.5),  # fewer places are near than are asked for
    walk.Options(20, 0, 4, 0.7),
    walk.Options(3, 2, 5, 0.2, disc=True),
    walk.Options(3, 2, 5, 0.2, disc=True, first_everywhere=True),
  ],
)
def test_labels_are_those_of_the_loops(options):
  np.testing.assert_allclose(carried(options), slow(options), atol=1e-5)


def test_windows_do_not_show():
  options = walk.Options(2, 1, 3, 0.1)
  whole, parts = carried(options), carried(options, windows=(1, 2, 4))
  np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_places_in_several_blocks_are_as_in_one(monkeypatch):
  options = walk.Options(2, 2, 4, 0.3)
  whole = carried(options)
  walk.advance.clear_cache()
  monkeypatch.setattr(walk, '_AT_ONCE', 4 * 3 * 15)  # four places of fifteen
  np.testing.assert_allclose(carried(options), whole, atol=1e-6)
  walk.advance.clear_cache()


def test_each_pixel_has_the_largest_label_between_places():
  labels = np.zeros((2, 15, 4), np.float32)
  labels[..., 0] = 1
  labels[1, 7] = 0, 0.9, 0, 0  # the place in the middle
  plain = walk.pixels(
    jnp.asarray(labels), grid=GRID, size=(6, 20), stretch=False
  )
  assert not plain[0].any()
  assert plain[1, 2:4, 9:11].all()
  assert set(np.unique(plain)) == {0, 1}
  # Brought to 0 to 1, the label reaches farther.
  wide = walk.pixels(jnp.asarray(labels), grid=GRID, size=(6, 20), stretch=True)
  assert wide[1].sum() > plain[1].sum()
  assert not wide[0].any()


@pytest.mark.parametrize(
  ('values', 'why'),
  [
    ((-1, 1, 1, 1.0), '--context=-1 must be 0 or more'),
    ((1, -1, 1, 1.0), '--neighbourhood=-1'),
    ((1, 1, 0, 1.0), '--topk=0 must be 1 or more'),
    ((1, 1, 1, 0.0), '--temperature=0.0 must be above 0'),
    ((1, 1, 1, float('nan')), '--temperature=nan'),
  ],
)
def test_options_that_cannot_be_are_refused(values, why):
  with pytest.raises(ValueError, match=why):
    walk.Options(*values)
