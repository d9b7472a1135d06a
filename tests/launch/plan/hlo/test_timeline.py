"""Seconds of a program, added up by hand."""

import pytest

from launch.plan.hlo import collectives, parser, timeline
from launch.plan.topology import Topology

GHZ = 1.75e9
GROUPS = "replica_groups=mesh['axis_0'=4,'axis_1'=16] {'axis_1'}"


def cycles(count):
  return f'backend_config={{"estimated_cycles":"{count}"}}'


CALLED = """
%product (a: bf16[64,32], b: bf16[32,32]) -> bf16[64,32] {
  %a = bf16[64,32]{1,0} parameter(0)
  %b = bf16[32,32]{1,0} parameter(1)
  ROOT %conv = bf16[64,32]{1,0} convolution(%a, %b)
}

%condition (state: (s32[], bf16[64,32])) -> pred[] {
  %bound = s32[] constant(5)
  ROOT %less = pred[] compare(%bound, %bound), direction=LT
}
"""


def estimate(torus, body, *, called='', model='cycles', slices=1):
  text = f"""{CALLED}{called}
ENTRY %main (x: bf16[64,32], w: bf16[32,32], stack: bf16[8,64,32]) -> f32[] {{
  %x = bf16[64,32]{{1,0}} parameter(0)
  %w = bf16[32,32]{{1,0}} parameter(1)
  %stack = bf16[8,64,32]{{2,1,0}} parameter(2)
{body}
  ROOT %end = f32[] constant(0)
}}
"""
  mesh = torus((4 * slices, 16, 1), (4, 4, 4), slices)
  slice_ = Topology('v5p', (4, 4, 4), slices)
  reader = collectives.Reader(parser.parse(text), mesh, slice_)
  return timeline.estimate(reader, model)


def product(count, name='p'):
  return (
    f'  %{name} = bf16[64,32]{{1,0}} fusion(%x, %w), calls=%product, '
    f'{cycles(count)}'
  )


def gather(name, *, start=''):
  return (
    f'  %{name} = (bf16[4,32]{{1,0}}, bf16[64,32]{{1,0}}) '
    f'all-gather{start}(%x), {GROUPS}'
    if start
    else f'  %{name} = bf16[64,32]{{1,0}} all-gather(%x), {GROUPS}'
  )


# A gather of 64 x 32 bfloat16 by 16 chips, 4 ways in at 90 GB/s.
GATHER_SEC = 64 * 32 * 2 * 15 / 16 / (4 * 90e9)


def test_loops_multiply_and_nest(torus):
  inner = f"""
%inner (state.1: (s32[], bf16[64,32])) -> (s32[], bf16[64,32]) {{
  %x = bf16[64,32]{{1,0}} parameter(0)
  %w = bf16[32,32]{{1,0}} parameter(1)
{product(7)}
  ROOT %r = (s32[], bf16[64,32]{{1,0}}) tuple(%p)
}}

%outer (state.2: (s32[], bf16[64,32])) -> (s32[], bf16[64,32]) {{
  %s = (s32[], bf16[64,32]{{1,0}}) parameter(0)
  ROOT %l = (s32[], bf16[64,32]) while(%s), condition=%condition, body=%inner
}}
"""
  loop = (
    '  %loop = (s32[], bf16[64,32]{1,0}) while(%x), condition=%condition, '
    'body=%outer, backend_config={"known_trip_count":{"n":"3"}}'
  )
  found = estimate(torus, loop, called=inner)
  assert found.matmul == pytest.approx(3 * 5 * 7 / GHZ)
  assert found.seconds == found.matmul


def test_products_and_the_rest(torus):
  add = (
    f'  %add = bf16[64,32]{{1,0}} add(%x, %x), {cycles(1000)}\n'
    '  %again = bf16[64,32]{1,0:S(1)} copy(%w)'
  )
  found = estimate(torus, f'{product(500)}\n{add}')
  assert found.matmul == pytest.approx(500 / GHZ)
  assert found.other == pytest.approx(1000 / GHZ)
  found = estimate(torus, f'{product(500)}\n{add}', model='roofline')
  assert found.matmul == pytest.approx(500 / GHZ)
  # Twice read, once written; of the copy into fast memory the read only.
  moved = 3 * 64 * 32 * 2 + 32 * 32 * 2
  assert found.other == pytest.approx(moved / (0.85 * 2765e9))


def test_a_slice_of_a_stack_moves_the_slice(torus):
  called = """
%one (s: bf16[8,64,32], u: bf16[64,32]) -> bf16[8,64,32] {
  %s = bf16[8,64,32]{2,1,0} parameter(0)
  %u = bf16[64,32]{1,0} parameter(1)
  %cut = bf16[1,64,32]{2,1,0} dynamic-slice(%s)
  %row = bf16[1,64,32]{2,1,0} multiply(%cut, %u)
  ROOT %put = bf16[8,64,32]{2,1,0} dynamic-update-slice(%s, %row)
}
"""
  body = '  %f = bf16[8,64,32]{2,1,0} fusion(%stack, %x), calls=%one'
  found = estimate(torus, body, called=called, model='roofline')
  # The slice and the factor are read, a slice is written.
  assert found.other == pytest.approx(3 * 64 * 32 * 2 / (0.85 * 2765e9))


def test_a_collective_alone_is_exposed(torus):
  found = estimate(torus, f'{product(500)}\n{gather("g")}')
  assert found.exposed == pytest.approx(GATHER_SEC)
  assert not found.uses[0].is_async
  assert found.seconds == pytest.approx(500 / GHZ + GATHER_SEC)


def test_compute_between_start_and_end_hides(torus):
  done = '  %d = bf16[64,32]{1,0} all-gather-done(%g)'
  lines = [gather('g', start='-start'), product(5), done]
  found = estimate(torus, '\n'.join(lines))
  assert found.uses[0].is_async
  assert found.exposed == pytest.approx(GATHER_SEC - 5 / GHZ)
  lines[1] = product(10**6)
  assert estimate(torus, '\n'.join(lines)).exposed == 0
  # Nothing between them hides nothing.
  found = estimate(torus, '\n'.join([lines[0], done]))
  assert found.exposed == pytest.approx(GATHER_SEC)
  assert not found.uses[0].is_async


def test_two_collectives_share_the_network(torus):
  lines = [
    gather('g', start='-start'),
    gather('h', start='-start'),
    product(5),
    '  %d = bf16[64,32]{1,0} all-gather-done(%g)',
    '  %e = bf16[64,32]{1,0} all-gather-done(%h)',
  ]
  found = estimate(torus, '\n'.join(lines))
  assert found.exposed == pytest.approx(2 * GATHER_SEC - 5 / GHZ)


def test_the_sparse_cores_begin_with_the_update(torus):
  called = f"""
%async_computation (p: bf16[4,32]) -> bf16[64,32] {{
  %p = bf16[4,32]{{1,0}} parameter(0)
  ROOT %g = bf16[64,32]{{1,0}} all-gather(%p), {GROUPS}
}}
"""
  lines = [
    '  %s = ((), ()) async-start(), calls=%async_computation',
    product(10**6),
    '  %u = ((bf16[4,32]{1,0}), bf16[64,32]{1,0}) async-update(%s, %x)',
    product(5, 'q'),
    '  %d = bf16[64,32]{1,0} async-done(%u)',
  ]
  found = estimate(torus, '\n'.join(lines), called=called)
  assert [use.what.kind for use in found.uses] == ['all-gather']
  assert found.exposed == pytest.approx(GATHER_SEC - 5 / GHZ)


def test_a_collective_within_fusions_is_one(torus):
  inner = f'bf16[64,32]{{1,0}} all-gather(%p), channel_id=3, {GROUPS}'
  called = f"""
%begin (p: bf16[4,32]) -> bf16[64,32] {{
  %p = bf16[4,32]{{1,0}} parameter(0)
  ROOT %g0 = {inner}
}}

%async_collective_fusion.1 (p: bf16[4,32], a: bf16[64,32]) -> bf16[64,32] {{
  %p = bf16[4,32]{{1,0}} parameter(0)
  %g1 = {inner}
  ROOT %conv.1 = bf16[64,32]{{1,0}} convolution(%p, %p)
}}

%finish (p: bf16[4,32]) -> bf16[64,32] {{
  %p = bf16[4,32]{{1,0}} parameter(0)
  ROOT %g2 = {inner}
}}
"""
  lines = [
    '  %async-collective-start = bf16[64,32]{1,0} fusion(%x), calls=%begin',
    '  %m = bf16[64,32]{1,0} fusion(%x, %w), '
    f'calls=%async_collective_fusion.1, {cycles(5)}',
    '  %async-collective-done = bf16[64,32]{1,0} fusion(%m), calls=%finish',
  ]
  found = estimate(torus, '\n'.join(lines), called=called)
  assert len(found.uses) == 1
  assert found.matmul == pytest.approx(5 / GHZ)
  assert found.exposed == pytest.approx(GATHER_SEC - 5 / GHZ)


def across(number, opcode, operand):
  return (
    f'  %{opcode}.{number} = (bf16[64,32]{{1,0}}, u32[], token[]) '
    f'{opcode}({operand}), frontend_attributes={{'
    '_xla_host_transfer_handler_name="xla_megascale_runtime",'
    f'_xla_host_transfer_rendezvous="all-reduce.{number}",'
    '_xla_megascale_transfer_type="ALL_REDUCE"}'
  )


# Each of two slices sends its part, 64 x 32 bfloat16, at 6.25 GB/s.
ACROSS_SEC = 64 * 32 * 2 / 6.25e9


def test_what_goes_between_slices_is_on_a_network_of_its_own(torus):
  sent = '  %send-done.1 = token[] send-done(%send.1)'
  done = '  %recv-done.1 = (bf16[64,32], token[]) recv-done(%recv.1)'
  lines = [across(1, 'recv', '%t'), across(1, 'send', '%x'), product(500)]
  found = estimate(torus, '\n'.join([*lines, sent, done]), slices=2)
  (use,) = found.uses
  assert (use.what.axes, use.is_async) == ('DCN', True)
  assert found.exposed == pytest.approx(ACROSS_SEC - 500 / GHZ)
  assert found.seconds == pytest.approx(ACROSS_SEC)
  # Chips of a slice gather meanwhile; what is between slices is one by one.
  more = [across(2, 'send', '%x'), across(2, 'recv', '%t'), gather('g')]
  more = [*lines, *more, sent, done]
  more.append('  %recv-done.2 = (bf16[64,32], token[]) recv-done(%recv.2)')
  for model in ('cycles', 'roofline'):
    found = estimate(torus, '\n'.join(more), slices=2, model=model)
    assert found.seconds == pytest.approx(2 * ACROSS_SEC)
    assert found.matmul + found.other == pytest.approx(500 / GHZ)


def test_copies_to_the_host_and_back_each_have_a_line(torus):
  called = """
%write (s: bf16[8,64,32], u: bf16[1,64,32]) -> bf16[8,64,32] {
  %s = bf16[8,64,32]{2,1,0:S(5)} parameter(0)
  %u = bf16[1,64,32]{2,1,0} parameter(1)
  ROOT %put = bf16[8,64,32]{2,1,0:S(5)} dynamic-update-slice(%s, %u)
}

%read (s.1: bf16[8,64,32]) -> bf16[1,64,32] {
  %s.1 = bf16[8,64,32]{2,1,0:S(5)} parameter(0)
  ROOT %cut = bf16[1,64,32]{2,1,0} dynamic-slice(%s.1)
}
"""
  stack = 'bf16[8,64,32]{2,1,0:S(5)}'
  row = 'bf16[1,64,32]{2,1,0}'
  lines = [
    f'  %w.1 = (({stack}, {row}, s32[]), {stack}, u32[]) '
    'async-start(%stack, %x), calls=%write',
    f'  %r = (({stack}, s32[]), {row}, u32[]) async-start(%stack), calls=%read',
    product(100),
    f'  %w.2 = {stack} async-done(%w.1)',
    f'  %got = {row} async-done(%r)',
    '  %back = (bf16[64,32]{1,0}, bf16[64,32]{1,0:S(5)}, u32[]) copy-start(%x)',
    '  %whole = bf16[64,32]{1,0} copy-done(%back)',
  ]
  found = estimate(torus, '\n'.join(lines), called=called)
  kinds = [use.what.kind for use in found.uses]
  assert kinds == ['to host', 'from host', 'from host']
  # Of the stack a row moves; both ways at once, at 16 GB/s.
  once = 64 * 32 * 2 / 16e9
  assert found.exposed == pytest.approx(once - 100 / GHZ + once)
