"""Communication of chips, as an optimised program does it."""

import dataclasses
import re

import numpy as np
from jax.sharding import Mesh

from launch.plan.hlo import parser
from launch.plan.topology import Topology
from train.chips import Chip

KINDS = (
  *('all-gather', 'all-reduce', 'reduce-scatter', 'all-to-all'),
  *('collective-permute', 'ragged-all-to-all', 'collective-broadcast'),
)
TO_HOST, FROM_HOST = 'to host', 'from host'
DCN = 'DCN'
_COPIES = ('copy-start', 'async-start')
# Between slices: what libtpu calls it, and we.
_ACROSS = {
  'ALL_REDUCE': 'all-reduce',
  'REDUCE_SCATTER': 'reduce-scatter',
  'ALL_GATHER': 'all-gather',
  'ALL_TO_ALL': 'all-to-all',
  'ONE_TO_ONE': 'collective-permute',
}


@dataclasses.dataclass(frozen=True)
class Collective:
  """One collective instruction, or a copy between a chip and its host.

  Attributes:
    kind: one of KINDS, TO_HOST or FROM_HOST.
    axes: of the mesh, over which it goes: 'fsdp' or 'replica+fsdp'; 'DCN',
      between slices; '' of a copy.
    group: chips of a group.
    payload: bytes of the whole array: gathered, reduced, or sent.
    shape: of that array, as text.
    links: directions from which a chip receives at once.
    source: where in the model it comes from.
  """

  kind: str
  axes: str
  group: int
  payload: float
  shape: str
  links: float
  source: str

  @property
  def traffic(self) -> float:
    """Bytes that a chip receives, at least, by the algorithm on a ring."""
    # Its own part a chip has already.
    share = (self.group - 1) / self.group
    if self.kind in ('collective-permute', TO_HOST, FROM_HOST):
      return self.payload
    # An all-reduce is a reduce-scatter and an all-gather.
    return self.payload * share * (2 if self.kind == 'all-reduce' else 1)

  def seconds(self, chip: Chip) -> float:
    """Time on links that nothing else uses."""
    gb_per_s = {
      'ICI': chip.ici_gb_per_s * self.links,
      DCN: chip.dcn_gb_per_s,
    }.get(self.network, chip.pcie_gb_per_s)
    return self.traffic / (gb_per_s * 1e9)

  @property
  def network(self) -> str:
    """What it takes its turn on: a host's line is one in each direction."""
    if self.kind in (TO_HOST, FROM_HOST):
      return self.kind
    return DCN if self.axes == DCN else 'ICI'


def seconds(
  kind: str,
  axis: str,
  *,
  group: int,
  payload: float,
  links: float,
  chip: Chip,
) -> float:
  """Time of a collective that nobody has compiled, see `Collective`.

  Args:
    kind: one of KINDS.
    axis: of the mesh, over which it goes; DCN between slices.
    group: chips of a group.
    payload: bytes of the whole array.
    links: directions from which a chip receives at once.
    chip: of which there are many.
  """
  thought = Collective(kind, axis, group, payload, '', links, source='')
  return thought.seconds(chip)


@dataclasses.dataclass(frozen=True)
class Reader:
  """Reads collectives of programs for one mesh.

  Attributes:
    program: that they are of.
    mesh: whose devices, in order, the program numbers.
    topology: of the mesh.
  """

  program: parser.Program
  mesh: Mesh
  topology: Topology

  def read(self, instruction: parser.Instruction) -> Collective | None:
    """The collective that an instruction is, or starts; None if none.

    A fusion around one is one too: the TPU's compiler prints a reduce-scatter
    as a fusion that calls `all-reduce-scatter`, an all-reduce and its slice.
    """
    inner = self.core(instruction)
    if inner is None:
      return None
    if inner.opcode == 'send':
      return self._across(inner)
    if inner.opcode in _COPIES:
      return _copy(inner)
    kind = inner.opcode.removesuffix('-start')
    arrays = inner.arrays
    (calls,) = instruction.called.get('calls', ('',))
    if instruction.opcode == 'fusion' and 'all-reduce-scatter' in calls:
      kind = 'reduce-scatter'
    elif inner.opcode.endswith('-start'):
      # Its type is (operands, results, state).
      half = [array for array in arrays if array.dtype != 'token']
      arrays = half[len(inner.operands) : 2 * len(inner.operands)] or half
    devices = self._group(inner)
    group = len(devices)
    factor = 1
    if kind == 'reduce-scatter' and inner.opcode == kind:
      factor = group  # its result is a shard
    return Collective(
      kind=kind,
      axes=self._axes(devices),
      group=group,
      payload=factor * sum(array.bytes for array in arrays),
      shape=' '.join(
        f'{array.dtype}[{",".join(map(str, array.shape))}]' for array in arrays
      ),
      links=self.topology.directions(self._coordinates(devices)),
      source=instruction.source or inner.source,
    )

  def core(self, instruction: parser.Instruction) -> parser.Instruction | None:
    """The collective in an instruction: itself, or in what it calls."""
    if instruction.opcode.removesuffix('-start') in KINDS:
      return instruction
    if instruction.opcode == 'send' and instruction.rendezvous:
      return instruction
    if instruction.opcode in _COPIES and any(
      array.on_host for array in instruction.arrays
    ):
      return instruction
    if instruction.opcode not in ('fusion', 'async-start'):
      return None
    for inner in self.program.inside(instruction):
      if inner.opcode.removesuffix('-start') in KINDS:
        return inner
    return None

  def _across(self, send) -> Collective:
    """What hosts do for the chips of several slices; each sends its part."""
    (name,) = re.findall(r'_xla_megascale_transfer_type="(\w+)"', send.rest)
    if name not in _ACROSS:
      raise ValueError(
        f'transfer between slices of unknown type {name!r}: expected one of '
        f'{", ".join(_ACROSS)}; add it to launch/plan/hlo/collectives.py'
      )
    kind, sent = _ACROSS[name], send.arrays[0]
    slices = len({each.slice_index for each in self.mesh.devices.flat})
    parts = slices if kind == 'all-gather' else 1
    return Collective(
      kind=kind,
      axes=DCN,
      group=slices,
      payload=parts * sent.bytes,
      shape=f'{sent.dtype}[{",".join(map(str, sent.shape))}]',
      links=1,
      source=send.source,
    )

  def _group(self, instruction) -> np.ndarray:
    """Numbers of the devices of its first group."""
    if instruction.opcode.startswith('collective-permute'):
      pairs = re.search(
        r'source_target_pairs=\{\{(\d+),(\d+)\}', instruction.rest
      )
      return np.array([int(pairs[1]), int(pairs[2])])
    # The first stands for all: groups of one collective are alike.
    return groups(instruction.rest, self.mesh.devices.size)[0]

  def _axes(self, devices) -> str:
    places = np.array(np.unravel_index(devices, self.mesh.devices.shape))
    names = [
      name
      for name, along in zip(self.mesh.axis_names, places)
      if len(set(along.tolist())) > 1
    ]
    return '+'.join(names)

  def _coordinates(self, devices) -> np.ndarray:
    chosen = self.mesh.devices.flat
    return np.array([chosen[int(i)].coords for i in devices])


def _copy(start: parser.Instruction) -> Collective:
  """Of an array, or of a slice of one that stays on the host."""
  arrays = start.arrays
  # Types are (result, operand, state) and ((operands), result, state).
  result = arrays[0] if start.opcode == 'copy-start' else arrays[-2]
  moved = max(
    (array for array in arrays if not array.on_host),
    key=lambda array: array.bytes,
  )
  return Collective(
    kind=TO_HOST if result.on_host else FROM_HOST,
    axes='',
    group=1,
    payload=moved.bytes,
    shape=f'{moved.dtype}[{",".join(map(str, moved.shape))}]',
    links=1,
    source=start.source,
  )


def groups(attributes: str, devices: int) -> np.ndarray:
  """`replica_groups` of a collective: [groups, members].

  Args:
    attributes: text behind the operands, with the list of lists, or its short
      form `[groups,members]<=[sizes]T(order)`.
    devices: of the program: the one group where none is given.

  Raises:
    ValueError: groups in a form that is not known.
  """
  short = re.search(
    r'replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?', attributes
  )
  if short:
    shape, sizes, order = (
      tuple(map(int, text.split(','))) if text else None
      for text in short.groups()
    )
    numbers = np.arange(np.prod(sizes)).reshape(sizes)
    return (numbers if order is None else numbers.transpose(order)).reshape(
      shape
    )
  named = re.search(
    r'replica_groups=mesh\[([^\]]*)\]([^{]*)\{([^}]*)\}', attributes
  )
  if named:
    return _of_named_mesh(*named.groups())
  listed = re.search(r'replica_groups=\{(\{[\d,{}]*\})\}', attributes)
  if listed:
    return np.array(
      [
        [int(number) for number in group.split(',')]
        for group in re.findall(r'\{([\d,]+)\}', listed[1])
      ]
    )
  if re.search(r'replica_groups=\{\}', attributes) or (
    'replica_groups' not in attributes
  ):
    return np.arange(devices)[None]
  raise ValueError(f'replica_groups of unknown form: {attributes[:200]!r}')


def _of_named_mesh(sizes: str, order: str, over: str) -> np.ndarray:
  """Groups over axes of a mesh: `mesh['a'=4,'b'=16] {'b'}`.

  Args:
    sizes: of the axes, in order.
    order: of the devices; a list of another order than the natural one.
    over: the axes; `'b':(2)8` is a part of one: that of 8 within 16 which has
      2 before it.
  """
  shape, names = [], []
  parts = dict(re.findall(r"'([^']+)':(\(\d+\)\d+)", over))
  plain = re.findall(r"'([^']+)'", over)
  for name, size in re.findall(r"'([^']+)'=(\d+)", sizes):
    whole = int(size)
    if name in parts:
      before, part = map(int, re.findall(r'\d+', parts[name]))
      shape += [before, part, whole // before // part]
      names += ['', name, '']
    else:
      shape.append(whole)
      names.append(name)
  count = int(np.prod(shape))
  given = re.search(r'device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?\)', order)
  numbers = np.arange(count)
  if given:
    numbers = numbers.reshape([int(n) for n in given[1].split(',')])
    if given[2]:
      numbers = numbers.transpose([int(n) for n in given[2].split(',')])
  elif order.strip(' ,'):
    raise ValueError(f'order of devices of unknown form: {order!r}')
  chosen = [i for i, name in enumerate(names) if name in plain]
  rest = [i for i in range(len(names)) if i not in chosen]
  members = int(np.prod([shape[i] for i in chosen]))
  return numbers.reshape(shape).transpose(rest + chosen).reshape(-1, members)
