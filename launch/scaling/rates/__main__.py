r"""Shows losses over learning rates and widths.

    python -m launch.sweep --config=configs/sweeps/world.py --sweep=rates \
      --at_once=2 --workdir=runs/rates
    python -m launch.scaling.rates runs/rates/*-lr-* --out=runs/rates/figure

Prints the best rate of each width, with each parametrisation of the runs, and
by what power of the width it moves; writes DIR/rates.png and DIR/rates.csv.
Runs differ in model.dim (with mlp and heads), optim.lr and
optim.parametrisation; the loss is the last one on validation clips.
"""

from collections.abc import Sequence

from absl import flags

from base import command

_OUT = flags.DEFINE_string('out', None, 'Folder of the figure and the table.')


def main(runs: Sequence[str]) -> None:
  """Prints the table; writes figure and CSV."""
  import os

  # Nothing is computed on it: leave the accelerator to those who train.
  os.environ['JAX_PLATFORMS'] = 'cpu'
  from base import console, files
  from evals.report import tables as csv
  from launch.scaling.rates import best, figure

  found = best.of_runs(runs)
  out = _OUT.value.rstrip('/')
  files.make_folder(out, '--out', stores_too=True)
  csv.write_csv(f'{out}/rates.csv', best.lines(found))
  figure.draw(found, f'{out}/rates.png')
  console.say(console.table(best.table(found)))
  for name, of_width in found.items():
    console.say(f'{name}: the best rate goes as {best.moves(of_width)}')
  console.say(f'see {out}/rates.png')


if __name__ == '__main__':
  command.run(main, required=['out'], words='runs of a sweep: RUNS...')
