"""A plan for people."""

from collections.abc import Mapping
from typing import Any

GIB = 2**30
METHOD = (
  "Estimates, not measurements. cycles: the compiler's own count of every "
  'instruction. roofline: its count of those with a matrix product, bytes at '
  "85% of HBM's bandwidth for the rest. kernels of our own, in both: products "
  'at 85% of the peak, with dimensions filled up to the matrix unit, and two '
  'cycles for each 1024 exponentials. Collectives: bytes over the links that a '
  'group can receive from; exposed is what compute waits for.'
)


def report(found: Mapping[str, Any]) -> str:
  """All figures.

  Args:
    found: as `estimate.plan` makes it.
  """
  lines = [
    title(found),
    *_model(found),
    *_memory(found),
    *(_compiled(found) if 'collectives' in found else ()),
    *_time(found),
  ]
  return '\n'.join([*lines, note(found)])


def note(found: Mapping[str, Any]) -> str:
  """How the figures came about."""
  if 'reduced' in found:
    return (
      f'reduced plan, nothing was compiled ({found["reduced"]}): no '
      'temporaries, collectives or time of the real program'
    )
  return METHOD


def title(found: Mapping[str, Any]) -> str:
  """Where and how it runs, in a line."""
  mesh = ' x '.join(f'{name} {n}' for name, n in found['mesh'].items())
  return (
    f'{found["topology"]}: {found["chips"]} chips, {found["hosts"]} hosts; '
    f'{mesh}; batch {found["batch_size"]} in {found["accumulate"]} '
    f'micro-batch{"es" if found["accumulate"] > 1 else ""}; '
    f'{found["optimizer"]}'
  )


def _model(found):
  flops = found['flops_per_step']
  parts = ', '.join(f'{part} {n / 1e12:.4g}' for part, n in flops.items())
  return [
    f'parameters      {found["parameters"]:,}',
    f'model TFLOP     {sum(flops.values()) / 1e12:.5g} a step: {parts}',
    f'checkpoint      {found["checkpoint_bytes"] / 1e9:.2f} GB',
  ]


def _memory(found):
  formula = found['bytes_by_formula']
  parts = ', '.join(
    f'{part} {n / GIB:.3g}'
    for part, n in formula.items()
    if n and part != 'total'
  )
  lines = [
    f'GiB per {found["bytes_of"]:8}{formula["total"] / GIB:.2f} of '
    f'{found["bytes_limit"] / GIB:.2f} by formula: {parts}'
  ]
  if found['bytes_offloaded']:
    each = found['bytes_offloaded'] / GIB
    host = each * found['devices'] / found['hosts']
    lines.append(
      f'GiB in a host   {host:.2f} of activations by formula, {each:.2f} of a '
      f'{found["bytes_of"]}'
    )
  if 'compiled_bytes' in found:
    held = found['compiled_bytes']
    parts = ', '.join(f'{part} {n / GIB:.3g}' for part, n in held.items())
    lines += [
      f'                {held["peak"] / GIB:.2f} by the compiler: {parts}',
      'largest buffers',
      *(
        f'  {row["bytes"] / GIB:8.3f} GiB {row["is"]:9} {row["shape"]} '
        f'{row["what"]}'
        for row in found['largest_buffers']
      ),
    ]
  return lines


def _compiled(found):
  lines = [f'compiled in     {found["compile_sec"]:.0f} s']
  lines += [f'warning         {line}' for line in found['warnings']]
  rows: dict[tuple, list] = {}
  for row in found['collectives']:
    key = row['kind'], row['axes'], row['group'], row['async']
    total = rows.setdefault(key, [0, 0.0, 0.0, 0.0])
    for i, name in enumerate(('count', 'bytes', 'seconds', 'exposed_sec')):
      total[i] += row[name]
  lines.append(
    f'{"collectives":28}{"over":16}{"group":>6}{"count":>8}{"GiB":>9}'
    f'{"ms":>9}{"exposed ms":>12}'
  )
  for (kind, axes, group, is_async), total in rows.items():
    count, size, seconds, exposed = total
    lines.append(
      f'  {kind + (" async" if is_async else ""):26}{axes:16}{group:6}'
      f'{count:8.0f}{size / GIB:9.3f}{1e3 * seconds:9.2f}{1e3 * exposed:12.2f}'
    )
  lines.append('compute takes, ms by the roofline model')
  lines += [
    f'  {1e3 * row["seconds"]:9.2f} {row["what"]}'
    for row in found['largest_costs']
  ]
  return lines


def _time(found):
  lines = [
    f'{"estimate":20}{"step ms":>9}{"MFU":>7}{"clips/s":>10}'
    f'{"frames/s/host":>15}{"days":>8}{"chip-hours":>12}'
  ]
  for name, each in found['estimates'].items():
    lines.append(
      f'  {name:18}{1e3 * each["step_sec"]:9.1f}{each["mfu"]:7.3f}'
      f'{each["clips_per_sec"]:10.0f}{each["frames_per_sec_per_host"]:15.0f}'
      f'{each["days"]:8.2f}{each["chip_hours"]:12.0f}'
    )
    if 'exposed_sec' in each:
      lines[-1] += (
        f'   (matmuls {1e3 * each["matmul_sec"]:.1f}, kernels '
        f'{1e3 * each["kernel_sec"]:.1f}, others '
        f'{1e3 * each["other_sec"]:.1f}, exposed '
        f'{1e3 * each["exposed_sec"]:.1f} ms)'
      )
    if 'frames_per_sec_per_core' in found:
      cores = each['frames_per_sec_per_host'] / found['frames_per_sec_per_core']
      lines[-1] += f'   {cores:.0f} cores decode for a host'
  return lines
