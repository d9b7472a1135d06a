"""What a plan says of a compiled step: time, collectives, buffers, mistakes."""

from typing import Any

from launch.plan.hlo import mistakes, parser, timeline
from launch.plan.hlo.collectives import Reader
from launch.plan.topology import Topology
from train.program import Program

_NO_BUFFERS = {
  *('parameter', 'tuple', 'get-tuple-element', 'bitcast', 'while', 'constant'),
  *('call', 'conditional', 'opt-barrier'),
}


def examine(text: str, program: Program, topology: Topology) -> dict[str, Any]:
  """Seconds by two models, collectives, the largest buffers, mistakes.

  Args:
    text: of the optimised program, as the compiler wrote it.
    program: that it was compiled from, on a mesh of the topology's devices.
    topology: where.

  Returns:
    plain values; 'estimates' has seconds of a step, by model.
  """
  parsed = parser.parse(text)
  reader = Reader(parsed, program.mesh, topology)
  estimates = {
    model: timeline.estimate(reader, model) for model in ('cycles', 'roofline')
  }
  uses = estimates['roofline'].uses
  return {
    'warnings': mistakes.full_reductions(
      uses, mistakes.parameter_elements(program)
    ),
    'largest_buffers': largest(parsed),
    'largest_costs': [
      {'what': where, 'seconds': seconds}
      for where, seconds in estimates['roofline'].costs.most_common(12)
    ],
    'collectives': table(uses),
    'estimates': {
      name: {
        'matmul_sec': each.matmul,
        'kernel_sec': each.kernel,
        'other_sec': each.other,
        'exposed_sec': each.exposed,
        'step_sec': each.seconds,
      }
      for name, each in estimates.items()
    },
  }


def table(uses: list[timeline.Use]) -> list[dict[str, Any]]:
  """Collectives by kind, axes of the mesh and shape, the slowest first."""
  rows: dict[tuple, dict[str, Any]] = {}
  for use in uses:
    what = use.what
    key = what.kind, what.axes, what.shape, use.is_async
    row = rows.setdefault(
      key,
      {
        **{'kind': what.kind, 'axes': what.axes, 'group': what.group},
        **{'shape': what.shape, 'async': use.is_async, 'count': 0},
        **{'bytes': 0, 'seconds': 0.0, 'exposed_sec': 0.0},
        'source': what.source,
      },
    )
    row['count'] += use.count
    row['bytes'] += use.count * what.payload
    row['seconds'] += use.seconds
    row['exposed_sec'] += use.exposed
  return sorted(rows.values(), key=lambda row: -row['seconds'])


def largest(program: parser.Program, count: int = 8) -> list[dict[str, Any]]:
  """The largest arrays in HBM that instructions make, and the inputs.

  Loops' bodies count too; what is updated in place is listed once.
  """
  rows: dict[tuple[str, str], dict[str, Any]] = {}

  def add(instruction, kind):
    for array in instruction.arrays:
      if array.in_hbm:
        shape = f'{array.dtype}[{",".join(map(str, array.shape))}]'
        name = instruction.source or instruction.name
        row = {'bytes': array.bytes, 'shape': shape, 'what': name, 'is': kind}
        rows.setdefault((shape, name), row)

  visited = [program.entry]
  for name in visited:
    for each in program.computations[name].values():
      if each.opcode == 'while':
        visited += each.called['body']
      elif each.opcode == 'parameter' and name == program.entry:
        add(each, 'input')
      elif each.opcode not in _NO_BUFFERS:
        add(each, 'temporary')
  return sorted(rows.values(), key=lambda row: -row['bytes'])[:count]
