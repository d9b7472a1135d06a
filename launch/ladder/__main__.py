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
from launch.ladder.rows import SIZES, Row, compile_row, key, ladder

BEGIN = '<!-- `make pods` writes from here -->'
END = '<!-- to here -->'
_AXES = ('replica', 'fsdp', 'tensor')
HEAD = (
  '| size | topology | replica x fsdp x tensor | batch | GiB per chip '
  '| step ms | exposed ms | exposed GiB | MFU cycles / roofline '
  '| compile CPU s |',
  '|---|---|---|---|---|---|---|---|---|---|',
)
# What the table has of a plan.
_PLAN = {
  'compiled_bytes': {'peak': float},
  'estimates': {
    'cycles': {'mfu': float},
    'roofline': {'mfu': float, 'step_sec': float, 'exposed_sec': float},
  },
  'collectives': [{'bytes': float, 'seconds': float, 'exposed_sec': float}],
}

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


def path_of(folder: pathlib.Path, row: Row) -> pathlib.Path:
  """Where the plan of a row is kept; what decides it is in the name."""
  return folder / f'{row.name}-{key(row)}.json'


def kept(path: pathlib.Path) -> dict[str, Any]:
  """The plan that a file holds.

  Raises:
    ValueError: it is damaged.
    FileNotFoundError: it is not there.
  """
  remedy = 'it is compiled again'
  found = files.read_json(path, {'cpu_sec': float}, remedy)
  if 'does_not_fit' in found:
    return found
  return files.expect(found, _PLAN, f'{path}', remedy)


def left_of(rows: Sequence[Row], folder: pathlib.Path) -> list[Row]:
  """Rows that the folder does not have; a damaged file of one is said."""
  left = []
  for row in rows:
    try:
      kept(path_of(folder, row))
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
      files.write(path_of(folder, row), json.dumps(found, indent=2) + '\n')
      after()
      console.say(f'  {summary(found)}')
      bar.update()


def apart(row: Row) -> dict[str, Any]:
  """`rows.compile_row` in a process that ends with it."""
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


def exposed_bytes(found: dict[str, Any]) -> float:
  """Bytes of collectives, each by the share of its time that compute waits."""
  return sum(
    each['bytes'] * each['exposed_sec'] / each['seconds']
    for each in found['collectives']
    if each['seconds']
  )


def table(folder: pathlib.Path, before: str = '') -> str:
  """The ladder as Markdown, with what the folder has of it.

  Args:
    folder: of plans.
    before: text with an earlier table. Its lines of rows that the folder does
      not have, which are of other sources or another machine, stay.
  """
  lines = before.splitlines()
  return '\n'.join([*HEAD, *(_line(folder, row, lines) for row in ladder())])


def _line(folder, row, before):
  from launch.plan import topology

  slice_ = topology.parse(row.topology)
  mesh = slice_.abstract_mesh(**row.config()['mesh']).shape
  layout = ' x '.join(str(mesh[axis]) for axis in _AXES)
  cells = [row.size, row.topology, layout, str(row.batch)]
  try:
    found = kept(path_of(folder, row))
  except (FileNotFoundError, ValueError):
    lines = [line for line in before if line.startswith(_joined(cells) + ' ')]
    return lines[0] if lines else _joined([*cells, 'not run', *[''] * 5])
  spent = f'{found["cpu_sec"]:.0f}'
  if 'does_not_fit' in found:
    return _joined([*cells, 'does not fit', *[''] * 4, spent])
  cycles, roofline = (
    found['estimates'][model] for model in ('cycles', 'roofline')
  )
  return _joined(
    [
      *cells,
      f'{found["compiled_bytes"]["peak"] / 2**30:.1f} of '
      f'{slice_.chip.hbm_gib:.2f}',
      f'{1e3 * roofline["step_sec"]:.0f}',
      f'{1e3 * roofline["exposed_sec"]:.0f}',
      f'{exposed_bytes(found) / 2**30:.2f}',
      f'{cycles["mfu"]:.3f} / {roofline["mfu"]:.3f}',
      spent,
    ]
  )


def _joined(cells):
  return '| ' + ' | '.join(cells) + ' |'


def replace(text: str, table_: str) -> str:
  """The text with another table between the markers.

  Raises:
    ValueError: the markers are not in it, once and in order.
  """
  before, begin, rest = text.partition(BEGIN)
  _, end, behind = rest.partition(END)
  if not (begin and end):
    raise ValueError(
      f'--docs: expected the lines {BEGIN!r} and {END!r} around the table; '
      'write them where it should be'
    )
  return f'{before}{BEGIN}\n{table_}\n{END}{behind}'


def main() -> None:
  """Compiles what is left, and keeps the table up to date."""
  from launch.plan import compiler

  compiler.require()  # before the table is written without a new row
  rows = chosen(_ONLY.value)
  folder, docs = pathlib.Path(_FOLDER.value), pathlib.Path(_DOCS.value)

  def write():
    text = docs.read_text()
    files.write(docs, replace(text, table(folder, text)))

  write()
  run(rows, folder, apart, after=write)


if __name__ == '__main__':
  command.run(main, required=[])
