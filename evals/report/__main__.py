"""Writes a report: `python -m evals.report RUNS... --out=DIR`.

DIR/index.html opens without a network; every figure lies beside it as PNG,
every number as CSV. Made again, it shows what has been added since.
"""

import os

from absl import flags

from base import command

_OUT = flags.DEFINE_string('out', None, 'Folder of index.html.')


def main(runs: list[str]) -> None:
  """Reads the runs, writes the page, prints a table and the page's path."""
  # Shapes are computed, no arrays: leave the accelerator to those who train.
  os.environ['JAX_PLATFORMS'] = 'cpu'
  from evals.report import page

  path, summary = page.write(runs, _OUT.value)
  print(summary, path, sep='\n\n' if summary else '')


if __name__ == '__main__':
  command.run(main, required=['out'], words='at least one run: RUNS...')
