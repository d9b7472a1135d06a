"""A recipe on each of several slices, and the table of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from base import console
from configs.common import with_changes, with_layout
from launch.plan import layouts, memory
from launch.plan.topology import Topology


def rows(
  config: Mapping[str, Any],
  slices: Sequence[Topology],
  plan: Callable[..., dict[str, Any]],
  *,
  same_per_chip: bool = False,
  own_layouts: bool = False,
) -> list[dict[str, Any]]:
  """A plan of each slice; of one where it cannot work, why not.

  Args:
    config: the recipe, laid out by its own `mesh` on each slice, unless told
      otherwise below.
    slices: where.
    plan: `launch.plan.estimate.plan` with its options.
    same_per_chip: the config is of the first slice; others have as many clips
      and shards a chip, in more replicas.
    own_layouts: each slice has the layout of `configs/layouts.json`.

  Raises:
    ValueError: a recipe that has none there.
  """
  # Before any is planned: of a recipe that has no layouts, none could be.
  recipe = layouts.recipe_of(config) if own_layouts else ''
  found = []
  with console.progress('planning', len(slices), 'slice') as bar:
    for each in slices:
      bar.set_postfix_str(each.name)
      try:
        laid_out = config
        if same_per_chip:
          laid_out = scaled(config, slices[0], each)
        elif own_layouts:
          laid_out = with_layout(
            config, recipe, each.name, config['data']['batch_size']
          )
        found.append(plan(laid_out, each))
      except ValueError as error:
        found.append({'topology': each.name, 'refused': str(error)})
      bar.update()
  return found


def scaled(
  config: Mapping[str, Any], first: Topology, other: Topology
) -> dict[str, Any]:
  """The config of one slice for another, with as many clips for each chip.

  Raises:
    ValueError: replicas or clips that are then no whole numbers.
  """
  changes = {}
  for key in ('mesh.replica', 'data.batch_size'):
    section, name = key.split('.')
    before = config[section][name]
    if before < 1 or before * other.chips % first.chips:
      raise ValueError(
        f'config.{key}={before} on {first.chips} chips is no whole number on '
        f'{other.chips}: with --same_per_chip, give a multiple'
      )
    changes[key] = before * other.chips // first.chips
  return with_changes(config, changes)


def text(rows: Sequence[Mapping[str, Any]]) -> str:
  """The table; estimates are those of the roofline model, if it compiled.

  The last column is how much longer a step takes than in the first row.
  """
  units = {row['bytes_of'] for row in rows if 'bytes_of' in row} or {'chip'}
  held = f'GiB a {" or ".join(sorted(units))}'
  lines = [
    f'{"topology":14}{"chips":>6}{held:>16}{"step ms":>9}{"MFU":>7}'
    f'{"clips/s":>10}{"days":>8}{"chip-hours":>12}{"step":>10}'
  ]
  first: Mapping[str, Any] = {}
  for row in rows:
    if 'refused' in row:
      reason = row['refused'].splitlines()[0]
      lines.append(f'{row["topology"]:14}{reason}')
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
    if 'step_sec' in first:
      lines[-1] += f'{100 * (each["step_sec"] / first["step_sec"] - 1):+9.1f}%'
    first = first or each
  for reason in {row['reduced'] for row in rows if 'reduced' in row}:
    lines.append(f'nothing was compiled ({reason}): bytes are by formula')
  return '\n'.join(lines)
