"""Compiles the ladder of sizes on slices, and writes the table of docs/pods.md.

  python -m launch.ladder
  python -m launch.ladder --only=B,j

Needs libtpu (`pip install --group tpu`). One program after the other, one to
two minutes of one core each; what is done is kept in --folder, under a hash of
what decides it, so that the same line goes on where it was stopped. The table
is written after each program.
"""

import concurrent.futures
import json
import multiprocessing
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from base import command, console, files
from base.names import choose
from launch import marked
from launch.ladder import rows as rows_lib
from launch.ladder import table
from launch.ladder.rows import SIZES, Row, compile_row, ladder

_FOLDER = flags.DEFINE_string('folder', 'runs/pods', 'Keeps what was compiled.')
_ONLY = flags.DEFINE_list(
  'only', [], 'Sizes to compile; all, if none is given.'
)
_DOCS = flags.DEFINE_string(
  'docs', 'docs/pods.md', 'File with the table, between its two markers.'
)


def chosen(only: Sequence[str]) -> list[Row]:
  """Rows of some sizes; all, of none.

  Raises:
    ValueError: a size that the ladder does not have.
  """
  for size in only:
    choose('size in --only', size, SIZES)
  return [row for row in ladder() if not only or row.size in only]


def left_of(rows: Sequence[Row], folder: pathlib.Path) -> list[Row]:
  """Rows that the folder does not have; a damaged file of one is said."""
  left = []
  for row in rows:
    try:
      rows_lib.kept(rows_lib.path_of(folder, row))
    except FileNotFoundError:
      left.append(row)
    except ValueError as error:
      console.say(str(error))
      left.append(row)
  return left


def run(
  rows: Sequence[Row],
  folder: pathlib.Path,
  compile_: Callable[[Row], dict[str, Any]],
  *,
  after: Callable[[], None],
) -> None:
  """Compiles the rows that are not in the folder.

  Args:
    rows: which.
    folder: keeps one file for each.
    compile_: row -> its plan, see `rows.compile_row`.
    after: is called when a row is done.
  """
  folder.mkdir(parents=True, exist_ok=True)
  left = left_of(rows, folder)
  console.say(f'{len(rows) - len(left)} of {len(rows)} programs are done')
  with console.progress('compiling', len(left), 'program') as bar:
    for row in left:
      console.say(f'compiling {row.size} on {row.topology} ...')
      found = compile_(row)
      files.write(
        rows_lib.path_of(folder, row), json.dumps(found, indent=2) + '\n'
      )
      after()
      console.say(f'  {summary(found)}')
      bar.update()


def apart(row: Row) -> dict[str, Any]:
  """`rows.compile_row` in a process that ends with it."""
  # The compiler keeps its memory: in one process rows would add up.
  with concurrent.futures.ProcessPoolExecutor(
    1, multiprocessing.get_context('spawn')
  ) as pool:
    return pool.submit(compile_row, row).result()


def summary(found: dict[str, Any]) -> str:
  """A plan in a line."""
  if 'does_not_fit' in found:
    return 'does not fit: ' + found['does_not_fit'].splitlines()[0]
  mfu = found['estimates']['roofline']['mfu']
  return '; '.join(
    [
      f'MFU {mfu:.3f} (roofline), {found["cpu_sec"]:.0f} CPU-seconds, '
      f'{found["host_gib"]:.1f} GiB',
      *(f'warning: {line}' for line in found['warnings']),
    ]
  )


def main() -> None:
  """Compiles what is left, and keeps the table up to date."""
  from launch.plan import compiler

  rows = chosen(_ONLY.value)
  compiler.require()  # before the table is written without a new row
  folder, docs = pathlib.Path(_FOLDER.value), pathlib.Path(_DOCS.value)

  def write():
    text = docs.read_text()
    files.write(docs, marked.put(text, table.text(folder, text), table.BEGIN))

  write()
  run(rows, folder, apart, after=write)


if __name__ == '__main__':
  command.run(main, required=[])
