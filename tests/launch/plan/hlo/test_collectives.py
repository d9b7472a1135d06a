"""What is sent between chips, how much of it, and over which axis."""

import pytest

from launch.plan.hlo import collectives, parser
from launch.plan.topology import Topology
from train.chips import CHIPS


def read(
  torus, line, *, called='', mesh=(4, 16, 1), network=(4, 4, 4), slices=1
):
  text = f"""{called}
ENTRY %main (x: bf16[64,32]) -> bf16[64,32] {{
  %x = bf16[64,32]{{1,0}} parameter(0)
  ROOT %one = {line}
}}
"""
  program = parser.parse(text)
  devices = torus(mesh, network, slices)
  slice_ = Topology('v5p', network, slices)
  reader = collectives.Reader(program, devices, slice_)
  return reader.read(program.root('main'))


def test_a_gather_of_shards(torus):
  found = read(
    torus,
    'bf16[64,32]{1,0} all-gather(%x), channel_id=1, '
    "replica_groups=mesh['axis_0'=4,'axis_1'=16] {'axis_1'}, dimensions={0}",
  )
  assert (found.kind, found.axes, found.group) == ('all-gather', 'fsdp', 16)
  assert found.payload == 64 * 32 * 2
  assert found.traffic == pytest.approx(64 * 32 * 2 * 15 / 16)
  # fsdp lies on two axes of four chips, which are rings: 4 ways in.
  assert found.links == 4
  assert found.seconds(CHIPS['v5p']) == pytest.approx(3840 / (4 * 90e9))


def test_part_of_a_ring_is_a_line(torus):
  gather = (
    'bf16[64,32]{1,0} all-gather(%x), '
    "replica_groups=mesh['axis_0'=32,'axis_1'=4] {'axis_1'}, dimensions={0}"
  )
  whole = read(torus, gather, mesh=(32, 4, 1), network=(4, 8, 4))
  part = read(torus, gather, mesh=(32, 4, 1), network=(4, 4, 8))
  assert (whole.group, part.group) == (4, 4)
  assert (whole.links, part.links) == (2, 1)
  # Over the one link that leads along the line.
  seconds = 64 * 32 * 2 * 3 / 4 / 90e9
  assert part.seconds(CHIPS['v5p']) == pytest.approx(seconds)


def test_a_reduction_over_replicas_counts_twice(torus):
  found = read(
    torus,
    '(f32[8]{0}, f32[4]{0}) all-reduce(%x, %x), to_apply=%add, '
    'replica_groups=[16,4]<=[4,16]T(1,0)',
  )
  assert (found.kind, found.axes, found.group) == ('all-reduce', 'replica', 4)
  assert found.payload == 48
  assert found.traffic == pytest.approx(2 * 48 * 3 / 4)
  assert found.links == 2


def test_a_reduction_in_a_fusion_of_that_name_is_a_scatter(torus):
  called = """
%all-reduce-scatter.clone.1 (input: bf16[64,32]) -> bf16[4,32] {
  %input = bf16[64,32]{1,0} parameter(0)
  %sum = bf16[64,32]{1,0} all-reduce(%input), replica_groups={{0,1},{2,3}}
  ROOT %slice = bf16[4,32]{1,0} dynamic-slice(%sum)
}
"""
  found = read(
    torus,
    'bf16[4,32]{1,0} fusion(%x), calls=%all-reduce-scatter.clone.1',
    called=called,
  )
  assert (found.kind, found.group) == ('reduce-scatter', 2)
  assert found.payload == 64 * 32 * 2
  assert found.traffic == pytest.approx(64 * 32 * 2 / 2)


def test_a_scatter_is_of_the_whole_array(torus):
  found = read(
    torus,
    'bf16[4,32]{1,0} reduce-scatter(%x), dimensions={0}, to_apply=%add, '
    "replica_groups=mesh['axis_0'=4,'axis_1'=16] {'axis_1'}",
  )
  assert found.payload == 64 * 32 * 2


def test_a_start_holds_operands_and_results(torus):
  found = read(
    torus,
    '(bf16[4,32]{1,0}, bf16[64,32]{1,0}) all-gather-start(%x), '
    'replica_groups=[4,16]<=[64]',
  )
  assert found.payload == 64 * 32 * 2
  found = read(
    torus,
    '(bf16[64,32]{1,0}, bf16[64,32]{1,0}, u32[]) collective-permute-start(%x), '
    'source_target_pairs={{0,1},{1,2}}',
  )
  assert (found.payload, found.axes) == (64 * 32 * 2, 'fsdp')


def test_what_is_no_collective(torus):
  assert read(torus, 'bf16[64,32]{1,0} copy(%x)') is None


@pytest.mark.parametrize(
  ('text', 'first'),
  [
    ('replica_groups={{0,2},{1,3}}', [0, 2]),
    ('replica_groups=[2,4]<=[8]', [0, 1, 2, 3]),
    ('replica_groups=[4,2]<=[2,4]T(1,0)', [0, 4]),
    ("replica_groups=mesh['a'=2,'b'=4] {'b'}", [0, 1, 2, 3]),
    ("replica_groups=mesh['a'=2,'b'=4] {'a'}", [0, 4]),
    ("replica_groups=mesh['a'=8] {'a':(1)2}", [0, 4]),
    ("replica_groups=mesh['a'=8] {'a':(2)4}", [0, 1, 2, 3]),
    ('replica_groups={}', [0, 1, 2, 3, 4, 5, 6, 7]),
  ],
)
def test_forms_of_groups(text, first):
  assert collectives.groups(f', {text}, dims', 8)[0].tolist() == first


def test_a_form_that_is_not_known_is_no_guess():
  with pytest.raises(ValueError, match='unknown form'):
    collectives.groups('replica_groups=<new>', 8)


def send(kind):
  return (
    '(bf16[48,8,128]{2,1,0:T(8,128)(2,1)}, u32[]{:S(2)}, token[]) '
    'send(%x, %t), channel_id=12, is_host_transfer=true, frontend_attributes={'
    '_xla_host_transfer_handler_name="xla_megascale_runtime",'
    '_xla_host_transfer_rendezvous="all-reduce.34_0",'
    f'_xla_megascale_transfer_type="{kind}",is_spmd_generated="true"}}'
  )


def test_hosts_reduce_between_slices(torus):
  slices = {'mesh': (4, 64, 1), 'network': (4, 4, 4), 'slices': 4}
  found = read(torus, send('ALL_REDUCE'), **slices)
  assert (found.kind, found.axes, found.group) == ('all-reduce', 'DCN', 4)
  assert found.payload == 48 * 8 * 128 * 2
  # 50 Gbit/s of a chip, whatever links it has to others of its slice.
  seconds = 2 * 3 / 4 * found.payload / 6.25e9
  assert found.seconds(CHIPS['v5p']) == pytest.approx(seconds)
  gathered = read(torus, send('ALL_GATHER'), **slices)
  assert gathered.payload == 4 * found.payload
  with pytest.raises(ValueError, match="unknown type 'GOSSIP'"):
    read(torus, send('GOSSIP'), **slices)


def test_groups_within_a_slice_are_of_the_mesh_within_it(torus):
  found = read(
    torus,
    'bf16[64,32]{1,0} all-gather(%x), replica_groups={{0,1,2,3},{4,5,6,7}}',
    mesh=(4, 4, 1),
    network=(2, 2, 2),
    slices=2,
  )
  assert (found.axes, found.group) == ('fsdp', 4)
