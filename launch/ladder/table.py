"""The table of docs/pods.md: a line for each row of the ladder."""

import pathlib
from typing import Any

from launch.ladder import rows

BEGIN = '<!-- `make pods` writes from here -->'
_AXES = ('replica', 'fsdp', 'tensor')
HEAD = (
  '| size | topology | replica x fsdp x tensor | batch | GiB per chip '
  '| step ms | exposed ms | exposed GiB | MFU cycles / roofline '
  '| compile CPU s |',
  '|---|---|---|---|---|---|---|---|---|---|',
)
# What the table has of a plan.


def exposed_bytes(found: dict[str, Any]) -> float:
  """Bytes of collectives, each by the share of its time that compute waits."""
  return sum(
    each['bytes'] * each['exposed_sec'] / each['seconds']
    for each in found['collectives']
    if each['seconds']
  )


def text(folder: pathlib.Path, before: str = '') -> str:
  """The ladder as Markdown, with what the folder has of it.

  Args:
    folder: of plans.
    before: text with an earlier table. Its lines of rows that the folder does
      not have, which are of other sources or another machine, stay.
  """
  lines = before.splitlines()
  return '\n'.join(
    [*HEAD, *(_line(folder, row, lines) for row in rows.ladder())]
  )


def _line(folder, row, before):
  from launch.plan import topology

  slice_ = topology.parse(row.topology)
  mesh = slice_.abstract_mesh(**row.config()['mesh']).shape
  layout = ' x '.join(str(mesh[axis]) for axis in _AXES)
  cells = [row.size, row.topology, layout, str(row.batch)]
  try:
    found = rows.kept(rows.path_of(folder, row))
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
