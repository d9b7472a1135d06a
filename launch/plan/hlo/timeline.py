"""How long a step would take, estimated from the compiled program.

Two models of the compute, and one of the communication. They rank designs;
they are no bounds, and nothing here was timed on a chip.

cycles: the compiler's own `estimated_cycles` of every instruction.
roofline: those of instructions with a matrix product; for the others, the
  bytes that they read and write in HBM at 85% of its bandwidth. Copies that
  the compiler starts ahead are taken as hidden.

Kernels of our own take, in both models, what `kernels` makes of their
CostEstimate.

Collectives run one after the other on a line of time of their own, and compute
waits where it needs their result; what it waits is exposed. An axis of the
network counts once for each direction that the group can receive from. What
goes between slices has another such line, of the hosts' network, and what goes
to a host, and what comes from it, one each.
"""

import dataclasses
from collections import Counter

from launch.plan.hlo import kernels, parser, traffic
from launch.plan.hlo.collectives import Collective, Reader

HBM_SHARE = 0.85  # of the bandwidth, what elementwise programs reach
_FREE = {
  *('parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast'),
  *('after-all', 'partition-id', 'replica-id', 'iota', 'opt-barrier'),
  # From another slice: the `send` beside it is the collective.
  *('recv', 'send-done'),
}
_AHEAD = ('copy-start', 'slice-start')


@dataclasses.dataclass
class Use:
  """One collective in the program, with how often it runs in a step.

  Attributes:
    what: the collective.
    count: runs per step.
    exposed: seconds per step that compute waits for it.
    seconds: per step, on its links.
    is_async: whether compute is scheduled between its start and its end.
  """

  what: Collective
  count: float
  exposed: float = 0.0
  seconds: float = 0.0
  is_async: bool = False


@dataclasses.dataclass
class Estimate:
  """Of one step, by one model.

  Attributes:
    model: 'cycles' or 'roofline'.
    matmul: seconds of instructions with a matrix product.
    kernel: seconds of kernels of our own.
    other: seconds of the others.
    uses: collectives.
    costs: seconds of compute by where in the model it comes from.
  """

  model: str
  matmul: float = 0.0
  kernel: float = 0.0
  other: float = 0.0
  uses: list[Use] = dataclasses.field(default_factory=list)
  costs: Counter[str] = dataclasses.field(default_factory=Counter)

  @property
  def exposed(self) -> float:
    """Seconds that compute waits for collectives."""
    return sum(use.exposed for use in self.uses)

  @property
  def seconds(self) -> float:
    """Of the step."""
    return self.matmul + self.kernel + self.other + self.exposed


def estimate(reader: Reader, model: str) -> Estimate:
  """Walks the program in the order of its schedule.

  Args:
    reader: of the program's collectives.
    model: 'cycles' or 'roofline'.
  """
  found = Estimate(model)
  _Walk(reader, model, found).run(reader.program.entry, 1.0)
  return found


class _Walk:
  """Clocks: of compute, and of each network."""

  def __init__(self, reader: Reader, model: str, found: Estimate):
    self.reader, self.model, self.found = reader, model, found
    self.program, self.chip = reader.program, reader.topology.device
    self.now = 0.0
    # Of each network, when it is done with what it was given.
    self.busy: Counter[str] = Counter()
    # Start -> its use, when the network is done with it, when it began.
    self.pending: dict[str, tuple[Use, float, float]] = {}

  def run(self, name: str, times: float) -> None:
    """Adds a computation that runs `times` times in a step."""
    computation = self.program.computations[name]
    for instruction in computation.values():
      self._one(instruction, computation, times)

  def _one(self, instruction, computation, times):
    opcode = instruction.opcode
    if opcode == 'while':
      trips = self.program.trips(instruction)
      (body,) = instruction.called['body']
      # Once by the clock, however often it runs: each turn waits as the first
      # does.
      self.run(body, times * trips)
    elif opcode in ('call', 'conditional'):
      for names in instruction.called.values():
        for name in names:
          self.run(name, times)
    elif opcode.endswith('-done') and opcode not in _FREE:
      for operand in instruction.operands:
        # What another slice sent comes with a `recv` beside our `send`.
        start = computation[operand]
        self._wait(start.rendezvous or operand, times)
    elif opcode == 'async-update':
      self._update(instruction, computation, times)
    else:
      core = self.reader.core(instruction)
      if core is None and opcode == 'async-start':
        return  # a copy or a slice, ahead of its use
      if core is None or _goes_on(instruction):
        self._compute(instruction, computation, times)
      elif instruction.name.startswith('async-collective-done'):
        self._wait(core.channel, times)
      else:
        self._communicate(instruction, core, times)

  def _communicate(self, instruction, core, times):
    if instruction.opcode == 'async-start' and not instruction.operands:
      return  # it is made ready; its update gives it what to send
    self._begin(instruction, instruction, core, times)

  def _update(self, instruction, computation, times):
    start = computation[instruction.operands[0]]
    if start.name in self.pending:
      self.pending[instruction.name] = self.pending.pop(start.name)
      return
    core = self.reader.core(start)
    if core is not None:
      self._begin(start, instruction, core, times)

  def _begin(self, holder, instruction, core, times):
    """Adds the collective in `holder`, which `instruction` sets off."""
    what = self.reader.read(holder)
    use = Use(what, times, seconds=times * what.seconds(self.chip))
    self.found.uses.append(use)
    # A collective waits its turn: the links are those of the one before.
    ends = max(self.busy[what.network], self.now) + what.seconds(self.chip)
    self.busy[what.network] = ends
    if instruction.rendezvous:
      self.pending[instruction.rendezvous] = use, ends, self.now
    elif instruction.opcode.endswith(('-start', '-update')):
      self.pending[instruction.name] = use, ends, self.now
    elif instruction.name.startswith('async-collective-start'):
      self.pending[core.channel] = use, ends, self.now
    else:
      self._expose(use, ends, times)

  def _wait(self, name, times):
    if name not in self.pending:
      return
    use, ends, began = self.pending.pop(name)
    # Not by its name: a start whose end follows at once hides nothing.
    use.is_async = self.now > began
    self._expose(use, ends, times)

  def _expose(self, use, ends, times):
    waited = max(0.0, ends - self.now)
    use.exposed += times * waited
    self.now += waited

  def _compute(self, instruction, computation, times):
    if instruction.opcode in _FREE or instruction.opcode in _AHEAD:
      return
    kind, cost = 'other', kernels.cost(instruction)
    # The compiler's `optimal_seconds` is not used: of loops it counts one turn,
    # and it has been negative.
    seconds = (instruction.cycles or 0.0) / (self.chip.ghz * 1e9)
    if cost:
      kind, seconds = 'kernel', kernels.seconds(cost, self.chip)
    elif is_matmul(self.program, instruction):
      kind = 'matmul'
    elif self.model == 'roofline':
      moved = traffic.moved(self.program, instruction, computation)
      seconds = moved / (HBM_SHARE * self.chip.hbm_gb_per_s * 1e9)
    self.now += seconds
    self.found.costs[instruction.source or instruction.name] += times * seconds
    total = getattr(self.found, kind) + times * seconds
    setattr(self.found, kind, total)


def _goes_on(fusion: parser.Instruction) -> bool:
  """Whether it computes while a collective, begun before it, goes on.

  The TPU's compiler writes one collective as a fusion that starts it, fusions
  that compute meanwhile and hold it too, and one that ends it.
  """
  names = fusion.called.get('calls', ('',))
  return names[0].startswith('async_collective_fusion')


def is_matmul(program: parser.Program, instruction: parser.Instruction) -> bool:
  """Whether it multiplies matrices. On a TPU they are convolutions."""
  return any(
    each.opcode in ('convolution', 'dot')
    for each in (instruction, *program.inside(instruction))
  )
