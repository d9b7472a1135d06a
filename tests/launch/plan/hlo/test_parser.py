"""Optimised programs are read as they are written."""

import pytest

from launch.plan.hlo import parser

CYCLES = 'backend_config={"window_config":{"estimated_cycles":"1234"}}'
KNOWN = 'backend_config={"known_trip_count":{"n":"7"}}'
PARTS = 'condition=%condition, body=%inner_body'
TEXT = f"""HloModule jit_step, is_scheduled=true

%fused (param_0: bf16[8,64], param_1: bf16[64,32]) -> bf16[8,32] {{
  %param_0 = bf16[8,64]{{1,0:T(8,128)(2,1)}} parameter(0)
  %param_1 = bf16[64,32]{{1,0}} parameter(1)
  ROOT %conv = bf16[8,32]{{1,0:T(8,128)(2,1)}} convolution(%param_0, %param_1)
}}

%inner_body (arg: (s32[], bf16[8,64])) -> (s32[], bf16[8,64]) {{
  %arg = (s32[]{{:T(128)}}, bf16[8,64]{{1,0:T(8,128)(2,1)S(1)}}) parameter(0)
  ROOT %same = (s32[], bf16[8,64]{{1,0}}) tuple(%arg)
}}

%condition (arg.1: (s32[], bf16[8,64])) -> pred[] {{
  %arg.1 = (s32[], bf16[8,64]) parameter(0)
  %count = s32[] get-tuple-element(%arg.1), index=0
  %bound = s32[] constant(12)
  ROOT %less = pred[] compare(%count, %bound), direction=LT
}}

ENTRY %main (x: bf16[8,64], w: bf16[64,32]) -> bf16[8,32] {{
  %x = bf16[8,64]{{1,0}} parameter(0), metadata={{op_name="state.params"}}
  %w = bf16[64,32]{{1,0:T(8,128)S(1)}} parameter(1)
  %start = (s32[], /*index=1*/bf16[8,64]{{1,0}}) tuple(%x)
  %loop = (s32[], bf16[8,64]{{1,0}}) while(%start), {PARTS}
  %known = (s32[], bf16[8,64]{{1,0}}) while(%start), {PARTS}, {KNOWN}
  ROOT %out = bf16[8,32]{{1,0}} fusion(%x, %w), calls=%fused, {CYCLES}
}}
"""


@pytest.fixture(scope='module')
def program():
  return parser.parse(TEXT)


def test_computations_and_their_instructions(program):
  assert program.entry == 'main'
  assert list(program.computations) == [
    *('fused', 'inner_body', 'condition', 'main')
  ]
  out = program.computations['main']['out']
  assert (out.opcode, out.operands, out.cycles) == ('fusion', ('x', 'w'), 1234)
  assert out.called == {'calls': ('fused',)}
  assert program.root('main') is out
  assert [each.opcode for each in program.inside(out)] == [
    *('parameter', 'parameter', 'convolution')
  ]


def test_shapes_bytes_and_the_memory_they_lie_in(program):
  entry = program.computations['main']
  (x,) = entry['x'].arrays
  assert (x.dtype, x.shape, x.bytes, x.in_hbm) == ('bf16', (8, 64), 1024, True)
  assert not entry['w'].arrays[0].in_hbm
  count, tokens = entry['start'].arrays
  assert (count.shape, count.bytes, tokens.bytes) == ((), 4, 1024)
  assert entry['x'].cycles is None
  assert (entry['x'].number, entry['x'].source) == ('0', 'state.params')


def test_how_often_a_loop_runs(program):
  entry = program.computations['main']
  assert program.trips(entry['loop']) == 12
  assert program.trips(entry['known']) == 7


def test_what_is_no_program_is_refused():
  with pytest.raises(ValueError, match='no ENTRY'):
    parser.parse('module {}')
