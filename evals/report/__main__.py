"""Writes a report: `python -m evals.report RUNS... --out=DIR`.

DIR/index.html opens without a network; every figure lies beside it as PNG,
every number as CSV. Made again, it shows what has been added since.
"""

import os

from absl import app, flags

_OUT = flags.DEFINE_string('out', None, 'Folder of index.html.')


def main(argv: list[str]) -> None:
  """Reads the runs, writes the page, prints a table and the page's path."""
  if len(argv) < 2:
    raise app.UsageError(
      'name at least one run: python -m evals.report RUNS...'
    )
  # Shapes are computed, no arrays: leave the accelerator to those who train.
  os.environ['JAX_PLATFORMS'] = 'cpu'
  from evals.report import page

  path, summary = page.write(argv[1:], _OUT.value)
  print(summary, path, sep='\n\n' if summary else '')


if __name__ == '__main__':
  flags.mark_flags_as_required(['out'])
  app.run(main)
