"""One recipe on several slices: what it would cost where."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from launch.plan import memory
from launch.plan.topology import Topology


def rows(
  config: Mapping[str, Any],
  slices: Sequence[Topology],
  plan: Callable[..., dict[str, Any]],
  *,
  say: Callable[[str], None],
) -> list[dict[str, Any]]:
  """A plan of each slice; of one where it cannot work, why not.

  Args:
    config: the recipe, laid out by its own `mesh` on each slice.
    slices: where.
    plan: `launch.plan.planning.plan` with its options.
    say: is given a line before each.
  """
  found = []
  for number, each in enumerate(slices, 1):
    say(f'{number} of {len(slices)}: {each.name}')
    try:
      found.append(plan(config, each))
    except ValueError as error:
      found.append({'topology': each.name, 'refused': str(error)})
  return found


def text(rows: Sequence[Mapping[str, Any]]) -> str:
  """The table; estimates are those of the roofline model, if it compiled."""
  lines = [
    f'{"topology":14}{"chips":>6}{"GiB a chip":>16}{"step ms":>9}{"MFU":>7}'
    f'{"clips/s":>10}{"days":>8}{"chip-hours":>12}'
  ]
  for row in rows:
    if 'refused' in row:
      first = row['refused'].splitlines()[0]
      lines.append(f'{row["topology"]:14}{first}')
      continue
    *_, last = row['estimates']
    each = row['estimates'].get('roofline', row['estimates'][last])
    held = row.get('compiled_bytes', {}).get('peak')
    held = held or row['bytes_by_formula']['total']
    limit = row['bytes_limit'] / memory.GIB
    lines.append(
      f'{row["topology"]:14}{row["chips"]:6}'
      f'{held / memory.GIB:8.2f} of{limit:5.1f}{1e3 * each["step_sec"]:9.0f}'
      f'{each["mfu"]:7.3f}{each["clips_per_sec"]:10.0f}{each["days"]:8.2f}'
      f'{each["chip_hours"]:12.0f}'
    )
  for reason in {row['reduced'] for row in rows if 'reduced' in row}:
    lines.append(f'nothing was compiled ({reason}): bytes are by formula')
  return '\n'.join(lines)
