"""Reads the text of an optimised XLA program.

The text is the only thing that the compiler gives to everybody: computations,
their instructions in the order of the schedule, shapes with the memory that
they lie in, and what the backend noted down (`estimated_cycles`). A while loop
has one body, which runs as often as the number in its condition says.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator

# Bytes of an element. s4, u4 are packed in two.
_BYTES = {
  **{'pred': 1, 's8': 1, 'u8': 1, 's16': 2, 'u16': 2, 'bf16': 2, 'f16': 2},
  **{'s32': 4, 'u32': 4, 'f32': 4, 's64': 8, 'u64': 8, 'f64': 8, 'c64': 8},
  **{'s4': 0.5, 'u4': 0.5, 'f8e4m3fn': 1, 'f8e5m2': 1, 'token': 0},
}
_ARRAY = re.compile(r'(\w+)\[([\d,<=]*)\](\{[^{}]*\})?')
_HEAD = re.compile(r'^\s*(?:ROOT )?%?([\w.\-]+) = ')
_COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$')
_CALLED = re.compile(
  r'(?:calls|to_apply|body|condition|true_computation|false_computation|'
  r'called_computations|branch_computations)='
  r'(?:\{([^}]*)\}|%?([\w.\-]+))'
)


@dataclasses.dataclass(frozen=True)
class Array:
  """One array of a value's type.

  Attributes:
    dtype: XLA's name of it.
    shape: its dimensions.
    in_hbm: False where the compiler keeps it in the chip's fast memory, or in
      the host's.
    on_host: whether it is in the host's.
  """

  dtype: str
  shape: tuple[int, ...]
  in_hbm: bool
  on_host: bool = False

  @functools.cached_property
  def elements(self) -> int:
    """How many there are."""
    count = 1
    for size in self.shape:
      count *= size
    return count

  @property
  def bytes(self) -> float:
    """Size, without what tiles are padded with."""
    return self.elements * _BYTES.get(self.dtype, 4)


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of a computation.

  Attributes:
    name: unique in the program.
    opcode: 'fusion', 'while', 'all-gather', ...
    arrays: of the result, the elements of a tuple one by one.
    operands: names of the instructions that it reads.
    rest: the text after the operands: attributes.
    is_root: whether it is its computation's result.
    number: of a parameter; the literal of a constant, as text, else ''.
  """

  name: str
  opcode: str
  arrays: tuple[Array, ...]
  operands: tuple[str, ...]
  rest: str
  is_root: bool
  number: str

  @property
  def called(self) -> dict[str, tuple[str, ...]]:
    """Computations that it runs, by attribute: {'body': ('name',)}."""
    found = {}
    for match in _CALLED.finditer(self.rest):
      names = (match[1] if match[1] is not None else match[2]).split(',')
      key = match[0].partition('=')[0]
      found[key] = tuple(name.strip().lstrip('%') for name in names)
    return found

  @property
  def cycles(self) -> float | None:
    """What the compiler expects it to take; None where it says nothing."""
    match = re.search(r'"estimated_cycles":"(\d+)"', self.rest)
    return float(match[1]) if match else None

  @property
  def channel(self) -> str:
    """What the parts of one collective share."""
    match = re.search(r'channel_id=(\d+)', self.rest)
    return match[1] if match else self.name

  @property
  def rendezvous(self) -> str:
    """What a send to other slices shares with what receives; '' of others."""
    match = re.search(
      r'_xla_host_transfer_handler_name="xla_megascale_runtime".*'
      r'_xla_host_transfer_rendezvous="([^"]*)"',
      self.rest,
    )
    return match[1] if match else ''

  @property
  def source(self) -> str:
    """Where in the model it comes from."""
    match = re.search(r'op_name="([^"]*)"', self.rest)
    return match[1] if match else ''

  @property
  def bytes(self) -> float:
    """Of the result."""
    return sum(array.bytes for array in self.arrays)


Computation = dict[str, Instruction]


@dataclasses.dataclass(frozen=True)
class Program:
  """Computations by name; instructions in the order of the schedule."""

  computations: dict[str, Computation]
  entry: str

  def root(self, name: str) -> Instruction:
    """The result of a computation."""
    for instruction in self.computations[name].values():
      if instruction.is_root:
        return instruction
    raise ValueError(f'computation {name} has no ROOT')

  def inside(self, instruction: Instruction) -> Iterator[Instruction]:
    """All instructions of what it calls, and of what those call."""
    for names in instruction.called.values():
      for name in names:
        for inner in self.computations.get(name, {}).values():
          yield inner
          yield from self.inside(inner)

  def trips(self, loop: Instruction) -> int:
    """How often the body of a `while` runs.

    What the compiler says; else the largest number in the condition, which is
    the bound of a loop that counts from 0 by 1, as `scan` does.
    """
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', loop.rest)
    if known:
      return int(known[1])
    (condition,) = loop.called['condition']
    numbers = [
      int(each.number)
      for each in self.computations[condition].values()
      if each.opcode == 'constant' and each.number.isdigit()
    ]
    return max(numbers, default=1)


def parse(text: str) -> Program:
  """The program of `compiled.as_text()`.

  Raises:
    ValueError: there is no entry computation.
  """
  computations: dict[str, Computation] = {}
  entry, current = '', None
  for line in text.splitlines():
    if current is None:
      match = _COMPUTATION.match(line)
      if match:
        current = computations.setdefault(match[2], {})
        entry = match[2] if match[1] else entry
    elif line.startswith('}'):
      current = None
    else:
      instruction = _instruction(line)
      if instruction:
        current[instruction.name] = instruction
  if not entry:
    raise ValueError('not the text of an XLA program: it has no ENTRY')
  return Program(computations, entry)


def _instruction(line: str) -> Instruction | None:
  head = _HEAD.match(line)
  if not head:
    return None
  kind_end = _end_of_type(line, head.end())
  opcode, _, _ = line[kind_end:].partition('(')
  begin = kind_end + len(opcode)
  end = _closing(line, begin)
  inner = line[begin + 1 : end]
  opcode = opcode.strip()
  literal = opcode in ('constant', 'parameter')
  return Instruction(
    name=head[1],
    opcode=opcode,
    arrays=tuple(_arrays(line[head.end() : kind_end])),
    operands=() if literal else tuple(re.findall(r'%([\w.\-]+)', inner)),
    rest=line[end + 1 :],
    is_root=line.lstrip().startswith('ROOT '),
    number=inner if literal else '',
  )


def _arrays(text: str) -> Iterator[Array]:
  for match in _ARRAY.finditer(text):
    shape = tuple(int(size.strip('<=')) for size in match[2].split(',') if size)
    layout = match[3] or ''
    yield Array(match[1], shape, 'S(' not in layout, 'S(5)' in layout)


def _end_of_type(line: str, begin: int) -> int:
  """Where the type ends: a tuple in parentheses, or one word."""
  if line[begin] == '(':
    return _closing(line, begin) + 1
  return line.index(' ', begin)


def _closing(line: str, begin: int) -> int:
  """Where the parenthesis that opens at `begin` is closed."""
  depth = 0
  for match in re.compile(r'[()]').finditer(line, begin):
    depth += 1 if match[0] == '(' else -1
    if not depth:
      return match.start()
  raise ValueError(f'unbalanced parentheses in {line[:120]!r}')
