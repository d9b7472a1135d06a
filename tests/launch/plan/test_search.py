"""Layouts are discarded and put in order before any is compiled."""

import pytest

from base import console
from configs import mae
from configs.common import with_changes
from launch import recipe
from launch.plan import does_not_fit, estimate, memory, topology
from launch.plan.search import candidates, ranking


@pytest.fixture(scope='module')
def config():
  return mae.get_config('size=L,batch_size=4096').to_dict()


@pytest.fixture(scope='module')
def slice_():
  return topology.parse('v5e:4x4')


@pytest.fixture(scope='module')
def found(config, slice_):
  return candidates.candidates(config, slice_)


def test_what_fits_is_in_order_and_what_does_not_is_counted(found, slice_):
  fitting, discarded = found
  limit = 0.75 * slice_.chip.hbm_gib * memory.GIB
  assert discarded > 0
  assert all(each.memory.total <= limit for each in fitting)
  seconds = [each.seconds for each in fitting]
  assert seconds == sorted(seconds)
  assert len({str(each) for each in fitting}) == len(fitting)


def test_candidates_are_whole_layouts(found):
  for each in found[0]:
    mesh = each.config['mesh']
    assert mesh['replica'] * mesh['fsdp'] * mesh['tensor'] == 16
    assert mesh['tensor'] <= 8
    # 1024 columns over FSDP's shards, 16 in each at least.
    assert 1024 / mesh['fsdp'] >= 16
    rows = mesh['replica'] * mesh['fsdp'] * each.config['step']['accumulate']
    assert 4096 % rows == 0


def test_slices_hold_whole_replicas_and_are_far_apart(config):
  two, one = (topology.parse(name) for name in ('2xv5e:4x4', 'v5e:4x8'))
  layouts = list(candidates._layouts(two.chips, two.slices))
  assert {each['mesh.replica'] for each in layouts} == {2, 4, 8, 16, 32}
  changed = with_changes(config, layouts[0])
  made = recipe.program(changed, two.abstract_mesh(**changed['mesh']))
  links = {'replica': 1, 'fsdp': 2, 'tensor': 1}
  apart, together = (
    candidates.rough_seconds(made, changed, slices, 0.0, links)
    for slices in (two, one)
  )
  # Gradients in bfloat16, each chip's shard, at 3.125 GB/s.
  gradients = memory.on_chip(made.state.params) / 2 / 3.125e9
  assert apart - together == pytest.approx(gradients)


def test_what_kernels_come_over_counts(config, slice_):
  changed = with_changes(config, {'mesh.replica': 4, 'mesh.fsdp': 4})
  made = recipe.program(changed, slice_.abstract_mesh(**changed['mesh']))
  narrow, wide = (
    candidates.rough_seconds(
      made, changed, slice_, 0.0, {'replica': 2, 'fsdp': fsdp, 'tensor': 1}
    )
    for fsdp in (1, 4)
  )
  # Two gathers and a scatter of what a group holds, of which a chip lacks 3/4.
  kernels = 4 * memory.on_chip(made.state.params) / 2
  link = slice_.chip.ici_gb_per_s * 1e9
  saved = 3 * 0.75 * kernels * (1 - 1 / 4) / link
  assert 0.2 * saved <= narrow - wide <= 0.45 * saved


def test_replicas_alone_are_thought_slower_as_they_are(slice_):
  """B: 2 x 8, 4 x 4 and 16 x 1 take 48.2, 52.2 and 53.1 ms when compiled."""
  config = mae.get_config('size=B,batch_size=512').to_dict()
  seconds = {
    (each.config['mesh']['replica'], each.config['mesh']['fsdp']): each.seconds
    for each in reversed(candidates.candidates(config, slice_)[0])
    if each.config['mesh']['tensor'] == 1
  }
  assert seconds[2, 8] < seconds[4, 4] < seconds[16, 1]


def test_full_remat_is_thought_slower(found):
  by_text = {str(each): each for each in found[0]}
  pairs = [
    (each, by_text[text.replace('remat=full', 'remat=named')])
    for text, each in by_text.items()
    if text.replace('remat=full', 'remat=named') in by_text
    and 'remat=full' in text
  ]
  assert pairs
  for full, named in pairs:
    assert full.seconds > named.seconds
    assert full.memory.total < named.memory.total


def test_the_best_of_what_was_compiled_comes_first(
  config, slice_, monkeypatch, capsys
):
  mfus = iter([0.2, None, 0.4])

  def plan(config, topology):
    mfu = next(mfus)
    if mfu is None:
      raise does_not_fit.DoesNotFitError('too large', 'more')
    each = {'mfu': mfu, 'step_sec': 1.0, 'exposed_sec': 0.1}
    return {
      'estimates': {'roofline': each, 'cycles': {'mfu': mfu}},
      'compile_sec': 1.0,
      'compiled_bytes': {'peak': 2**30},
    }

  monkeypatch.setattr(estimate, 'plan', plan)
  monkeypatch.setattr(console, '_BETWEEN_LINES', 0.0)
  ranked = ranking.rank(config, slice_, compiles=3)
  assert [plan['estimates']['roofline']['mfu'] for _, plan in ranked] == [
    0.4,
    0.2,
  ]
  said = capsys.readouterr().out.splitlines()
  assert '  does not fit: too large' in said
  assert [line.startswith('compiling --') for line in said].count(True) == 3
  # How far it has come, and how fast.
  assert any(line.startswith('compiling: 3/3, ') for line in said)
  lines = ranking.text(ranked).splitlines()
  assert len(lines) == 3
  assert lines[1].split()[0] == '0.400'
  assert '--config.mesh.fsdp=' in lines[1]


def test_nothing_that_fits_is_an_error(config, slice_, monkeypatch):
  large = mae.get_config('size=j').to_dict()
  with pytest.raises(ValueError, match='no layout of this recipe fits'):
    ranking.rank(large, slice_, compiles=1)

  def refuse(config, topology):
    raise does_not_fit.DoesNotFitError('too large', 'more')

  monkeypatch.setattr(estimate, 'plan', refuse)
  with pytest.raises(ValueError, match=r'none of the 2 .* try .*--compiles=4'):
    ranking.rank(config, slice_, compiles=2)
