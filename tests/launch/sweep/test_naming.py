"""Runs are named by what differs, once and for all."""

import pytest

from launch.sweep import naming
from launch.sweep.runs import Item

RECIPE = 'configs/mae.py:size={},data=gs://bucket/clips,batch_size=2048'


def names(*items, known=None):
  return list(naming.named(items, known or {}))


def test_by_the_first_options_that_tell_them_apart():
  grid = [
    Item(RECIPE.format(size), {'optim.lr': lr, 'checkpoint.every': 100})
    for size in 'Bj'
    for lr in (3e-4, 1e-3)
  ]
  assert names(*grid) == [
    *('size-B_lr-0.0003', 'size-B_lr-0.001'),
    *('size-j_lr-0.0003', 'size-j_lr-0.001'),
  ]
  # What follows from the size says nothing more.
  ladder = [
    Item(RECIPE.format(size), {'step.accumulate': n})
    for size, n in (('S', 8), ('B', 4), ('L', 1))
  ]
  assert names(*ladder) == ['size-S', 'size-B', 'size-L']
  assert names(ladder[0]) == ['accumulate-8']
  assert names(Item(RECIPE.format('S'), {})) == ['mae']


def test_of_values_that_no_file_may_be_called():
  options = [
    ('gs://a/b c', (2, 8, 8)),
    ('runs/x', (2, 8, 8)),
    ('runs/x', (2, 16, 16)),
  ]
  assert names(
    *(
      Item(RECIPE.format('B'), {'init_from.path': path, 'model.patch': patch})
      for path, patch in options
    )
  ) == [
    'path-gs-a-b-c_patch-2x8x8',
    'path-runs-x_patch-2x8x8',
    'path-runs-x_patch-2x16x16',
  ]


def test_where_two_options_end_alike_all_is_said():
  items = [
    Item(RECIPE.format('B'), {'log.every': a, 'eval.every': b})
    for a, b in ((1, 1), (1, 2), (2, 1))
  ]
  assert names(*items)[1] == 'log.every-1_eval.every-2'


def test_a_long_name_is_cut_and_stays_another():
  items = [
    Item(RECIPE.format('B'), {'init_from.path': f'{"x" * 80}{n}'})
    for n in range(2)
  ]
  made = names(*items)
  assert len(set(made)) == 2
  assert max(map(len, made)) == 60
  assert made == names(*items)


def test_a_run_that_has_a_folder_keeps_its_name():
  old = Item(RECIPE.format('B'), {'optim.lr': 1e-3})
  new = Item(RECIPE.format('B'), {'optim.lr': 2e-3})
  assert names(old, new, known={old.identity: 'mae'}) == ['mae', 'lr-0.002']
  # Tuples were lists in the file.
  patched = Item(RECIPE.format('B'), {'model.patch': (2, 8, 8)})
  again = Item(RECIPE.format('B'), {'model.patch': [2, 8, 8]})
  assert names(patched, known={again.identity: 'mine'}) == ['mine']


def test_collisions_are_refused():
  base = Item(RECIPE.format('B'), {})
  with pytest.raises(ValueError, match='the same run twice'):
    names(base, Item(RECIPE.format('B'), {}))
  g = [Item(RECIPE.format(size), {}) for size in 'gG']
  with pytest.raises(ValueError, match="'size-g' and 'size-G': give one of"):
    names(*g)
  assert names(g[0], Item(g[1].recipe, {}, 'giant')) == ['size-g', 'giant']
  for bad in ('a/b', '..', 'report', '', 'x' * 61):
    if bad:
      with pytest.raises(ValueError, match='cannot name a run'):
        names(base, Item(g[0].recipe, {}, bad))
  with pytest.raises(ValueError, match='mae is there already, as a run of oth'):
    names(base, known={g[0].identity: 'mae'})
