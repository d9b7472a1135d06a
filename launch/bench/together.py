"""Model FLOP/s of small runs that share the cores: `launch.bench.together`.

    python -m launch.bench.together --config=configs/sweeps/world.py \
      --sweep=ladder --against=configs/quickstart.py

As many steps of each of a sweep's models run at once as `launch.sweep
--at_once` would run them, each on its part of the cores; then, in turns, a
recipe alone on all of them. On random clips, so that neither reading nor
logging counts.
"""

import contextlib
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence

from absl import flags

from base import command
from launch.local import shares

_CONFIG = flags.DEFINE_string('config', None, 'A file with sweeps.')
_SWEEP = flags.DEFINE_string('sweep', '', 'NAME of sweep_NAME(); of sweep().')
_AGAINST = flags.DEFINE_string(
  'against', 'configs/quickstart.py', 'A recipe, alone on all cores.'
)
_AT_ONCE = flags.DEFINE_integer('at_once', 2, 'Runs at a time.', lower_bound=2)
_ROUNDS = flags.DEFINE_integer('rounds', 3, 'Of turns.', lower_bound=1)
_SECONDS = flags.DEFINE_integer('seconds', 5, 'Of a turn.', lower_bound=1)
# What a child runs as, by the arguments behind it.
_CHILD = '--as_child'
_READY = 'ready'


def main() -> None:
  """Prints a table: each model, GFLOP/s, and the ratio to the recipe alone."""
  from base import console
  from launch import checks, overrides
  from launch.sweep import runs

  items = runs.read(_CONFIG.value, _SWEEP.value)
  words = [item.flags('') for item in items]
  costs = checks.costs(
    {f'{n}': overrides.resolved(flags) for n, flags in enumerate(words)}, []
  )
  places = shares.cores(_AT_ONCE.value)
  steps, spent, lines = {}, [], []
  for number, (item, mine) in enumerate(zip(items, words)):
    # Seeds, and lengths, make no other step.
    key = ' '.join(x for x in mine[1:] if 'seed' not in x)
    if key not in steps:
      console.say(f'{item.name} ...')
      steps[key] = _measured(mine, places)
      lines.append(_line(item.name, steps[key]))
    spent.append((costs[f'{number}'].flops, steps[key]))
  print(console.table([*lines, _line('all', _whole(spent))]))


def _measured(
  words: Sequence[str], places: Sequence[Sequence[int]]
) -> list[tuple[float, float]]:
  """FLOP/s of as many as there are places, and of the recipe, in turns."""
  with contextlib.ExitStack() as stack:
    alone = stack.enter_context(_child([f'--config={_AGAINST.value}'], ()))
    mine = [stack.enter_context(_child(words, cores)) for cores in places]
    return [(_turn(mine), _turn([alone])) for _ in range(_ROUNDS.value)]


def _whole(
  spent: Sequence[tuple[float, Sequence[tuple[float, float]]]],
) -> list[tuple[float, float]]:
  """FLOP/s of a sweep, of the FLOPs and the speeds of each of its runs."""
  total = sum(flops for flops, _ in spent)
  rounds = zip(*(turns for _, turns in spent))
  return [
    tuple(
      total / sum(flops / turn[side] for (flops, _), turn in zip(spent, turns))
      for side in (0, 1)
    )
    for turns in rounds
  ]


def _line(name: str, found: Sequence[tuple[float, float]]) -> dict[str, str]:
  ours, alone = (statistics.median(each) for each in zip(*found))
  ratio = statistics.median(a / b for a, b in found)
  return {
    'run': name,
    f'{_AT_ONCE.value} at once, GFLOP/s': f'{ours / 1e9:.1f}',
    'recipe alone, GFLOP/s': f'{alone / 1e9:.1f}',
    'ratio': f'{ratio:.2f}',
  }


@contextlib.contextmanager
def _child(
  words: Sequence[str], cores: Sequence[int]
) -> Iterator[subprocess.Popen]:
  """A process that steps when it is told to; see `serve`."""
  child = [sys.executable, '-m', 'launch.bench.together', _CHILD, *words]
  with subprocess.Popen(
    shares.pinned(child, cores),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  ) as process:
    if not any(line.startswith(_READY) for line in process.stdout):
      raise ValueError(f'{shlex.join(words)} cannot be stepped; see above')
    yield process
    process.stdin.close()


def _turn(children: Sequence[subprocess.Popen]) -> float:
  """FLOP/s of all of them, stepping at once."""
  for child in children:
    print(_SECONDS.value, file=child.stdin, flush=True)
  return sum(float(child.stdout.readline()) for child in children)


def serve(words: Sequence[str]) -> None:
  """The child: for each line, steps for as many seconds, and says FLOP/s."""
  import time

  from launch import overrides, recipe
  from launch.bench.running import running
  from train import mesh as mesh_lib

  config = overrides.resolved(words)
  program = recipe.program(config, mesh_lib.make(**config['mesh']))
  flops, step = sum(program.flops().values()), running(program)
  step()
  print(_READY, flush=True)
  for line in sys.stdin:
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < float(line):
      step()
      count += 1
    print(count * flops / (time.perf_counter() - began), flush=True)


if __name__ == '__main__':
  if sys.argv[1:2] == [_CHILD]:
    os.environ.setdefault('JAX_PLATFORMS', 'cpu')
    serve(sys.argv[2:])
  else:
    command.run(main, required=['config'])
