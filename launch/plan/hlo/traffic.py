"""Bytes that an instruction of an optimised program moves in HBM."""

from collections.abc import Iterator

from launch.plan.hlo import parser


def moved(
  program: parser.Program,
  instruction: parser.Instruction,
  computation: parser.Computation,
) -> float:
  """Bytes of HBM that an instruction reads and writes.

  A slice of an array moves the slice only, and so does an update in place.
  """
  inner = computation
  operands = [computation[name] for name in instruction.operands]
  if instruction.opcode == 'fusion':
    (name,) = instruction.called['calls']
    inner = program.computations[name]
    read = sum(_read_inside(inner, i, each) for i, each in enumerate(operands))
    results = _results(inner, program.root(name))
    return read + sum(
      _written(inner, each, place)
      for each, place in zip(results, instruction.arrays)
    )
  if instruction.opcode == 'dynamic-update-slice':
    # Read and written: the update alone, the array stays where it is.
    return 2 * _hbm(operands[1])
  if instruction.opcode in ('dynamic-slice', 'slice', 'gather'):
    return 2 * _hbm(instruction)
  return sum(map(_hbm, operands)) + _hbm(instruction)


def _hbm(instruction) -> float:
  return sum(array.bytes for array in instruction.arrays if array.in_hbm)


def _read_inside(inner, number, operand) -> float:
  """Bytes of operand `number` that a fused computation reads."""
  whole = _hbm(operand)
  if not whole:
    return 0.0
  for parameter in inner.values():
    if parameter.opcode == 'parameter' and parameter.number == str(number):
      # Of a stack of layers a fusion reads one layer's slice.
      return min(whole, _used(inner, parameter))
  return whole


def _used(inner, value) -> float:
  total = 0.0
  for user in _users(inner, value):
    if user.opcode == 'bitcast':
      total += _used(inner, user)
    elif user.opcode in ('dynamic-slice', 'slice', 'gather'):
      total += user.bytes
    elif user.opcode == 'dynamic-update-slice' and (
      user.operands[0] == value.name
    ):
      continue
    else:
      # Something reads all of it; the caller takes the whole.
      return float('inf')
  return total


def _users(inner, value) -> Iterator[parser.Instruction]:
  return (each for each in inner.values() if value.name in each.operands)


def _results(inner, root) -> list[parser.Instruction]:
  if root.opcode == 'tuple':
    return [inner[name] for name in root.operands]
  return [root]


def _written(inner, result, place) -> float:
  """Bytes that a fusion writes of one of its results."""
  if not place.in_hbm:
    return 0.0
  while result.opcode == 'bitcast':
    result = inner[result.operands[0]]
  if result.opcode == 'dynamic-update-slice':
    return min(place.bytes, inner[result.operands[1]].bytes)
  return place.bytes
