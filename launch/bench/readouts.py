"""What more rates, and more tasks, cost: `python -m launch.bench.readouts`.

A step of readout jobs on an untrained backbone, in turns: each task alone with
one learning rate and with several, and all tasks together. On random clips that
lie on the device, so that neither reading nor logging counts.
"""

import statistics
import time

from absl import flags
from ml_collections import config_flags

from base import command

_BACKBONE = config_flags.DEFINE_config_file(
  'backbone', 'configs/quickstart.py', 'A pretraining recipe: whose features.'
)
_RECIPE = flags.DEFINE_string('recipe', 'laptop', 'Of configs/readout.py.')
_TASKS = flags.DEFINE_list(
  'tasks', ['depth', 'pose', 'points', 'boxes', 'classify'], 'Which.'
)
_LRS = flags.DEFINE_string('lrs', '1e-3+3e-3+1e-2', 'Rates, trained at once.')
_BATCH = flags.DEFINE_integer('batch_size', 16, 'Clips.', lower_bound=1)
_ROUNDS = flags.DEFINE_integer('rounds', 10, 'Of turns.', lower_bound=1)


def main() -> None:
  """Prints a table: each job's step, in ms and beside that with one rate."""
  from base import console
  from launch import recipe
  from train import mesh as mesh_lib

  backbone = recipe.pretraining(_BACKBONE.value)
  mesh = mesh_lib.make(**backbone['mesh'])
  several = f'{_LRS.value.count("+") + 1} rates'
  one = _LRS.value.partition('+')[0]
  jobs = [*_TASKS.value, '+'.join(_TASKS.value)]
  steps, flops = {}, {}
  for tasks in dict.fromkeys(jobs):
    for rates, lrs in (('1 rate', one), (several, _LRS.value)):
      console.say(f'compiling {tasks}, {rates} ...')
      steps[tasks, rates], flops[tasks, rates] = _job(
        *(tasks, lrs, backbone, mesh)
      )
  took = {key: [] for key in steps}
  # The first turn warms caches and clocks, and is not counted.
  for _ in range(1 + _ROUNDS.value):
    for key, step in steps.items():
      began = time.perf_counter()
      step()
      took[key].append(1e3 * (time.perf_counter() - began))
  took = {key: each[1:] for key, each in took.items()}
  alone = [(tasks, '1 rate') for tasks in _TASKS.value]
  dearest = max(alone, key=lambda key: statistics.median(took[key]))
  lines = []
  for tasks, rates in took:
    mine = took[tasks, rates]
    beside = (tasks, '1 rate') if rates != '1 rate' else dearest
    ratio = statistics.median(a / b for a, b in zip(mine, took[beside]))
    by_flops = flops[tasks, rates] / flops[beside]
    lines.append(
      {
        'tasks': tasks,
        'rates': rates,
        'ms a step': f'{statistics.median(mine):.1f}',
        'times': f'{ratio:.2f}',
        'by FLOPs': f'{by_flops:.2f}',
        'of': ', '.join(beside),
      }
    )
  print(console.table(lines))


def _job(tasks: str, lrs: str, backbone, mesh):
  """A function that makes a step of a job, and its FLOPs."""
  from data import pipeline
  from launch import overrides, recipe
  from launch.bench.running import running

  argument = f'task={tasks},data=world,recipe={_RECIPE.value},lr={lrs}'
  readouts = overrides.resolved(
    [
      f'--config=configs/readout.py:{argument}',
      f'--config.data.batch_size={_BATCH.value}',
    ]
  )
  # Labels as the backbone's recipe has them, where it is of the same source.
  for label, source in readouts['data']['sources'].items():
    same = backbone['data']['sources'].get(label, {})
    readouts['data']['sources'][label] = {**same, **source}
  config = recipe.of_readouts(readouts, backbone)
  program = recipe.program(config, mesh)
  example = pipeline.make(split='train', **config['data']).example()
  labels = {key: x for key, x in example.items() if key != 'video'}
  return running(program, labels), sum(program.flops().values())


if __name__ == '__main__':
  command.run(main)
