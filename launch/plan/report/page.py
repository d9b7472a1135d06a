"""A plan as a page of its own, in the look of the report of runs."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import evals.report
from evals.report.tables import html_table
from launch.plan.report import text as plan_text
from launch.plan.report.text import GIB


def page(found: Mapping[str, Any]) -> str:
  """HTML that needs no other file.

  Args:
    found: as `estimate.plan` makes it.
  """
  folder = pathlib.Path(evals.report.__file__).parent
  style = (folder / 'page.css').read_text()
  title = f'{found["parameters"] / 1e9:.3g}B parameters on {found["topology"]}'
  return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{style}</style>
<header><div>
<div class="brand">scale4d plan</div>
<h1>{escape(title)}</h1>
<p>{escape(plan_text.title(found))}</p>
</div></header>
<main>
{_tiles(found)}
{_time(found)}
{_memory(found)}
{_communication(found) if 'collectives' in found else ''}
{_model(found)}
<p class="note">{escape(plan_text.note(found))}</p>
</main>
"""


def _tiles(found):
  tiles = []
  for name, each in found['estimates'].items():
    tiles.append(
      ('MFU', f'{each["mfu"]:.3f}', f'{1e3 * each["step_sec"]:.0f} ms', name)
    )
  *_, last = found['estimates'].values()
  tiles.append(
    (
      *('run', f'{last["days"]:.1f} days'),
      f'{last["chip_hours"]:,.0f} chip-hours',
      f'{found["steps"]:,} steps',
    )
  )
  held = found.get('compiled_bytes', {}).get('peak')
  source = 'by the compiler' if held else 'by formula'
  held = held or found['bytes_by_formula']['total']
  limit = found['bytes_limit']
  tiles.append(
    (
      'memory',
      f'{held / GIB:.1f} GiB',
      f'of {limit / GIB:.2f}',
      source,
    )
  )
  return '<div class="tiles">{}</div>'.format(
    ''.join(
      '<div class="tile"><i>{}</i><b>{}</b><span>{}</span>'
      '<small>{}</small></div>'.format(*map(escape, tile))
      for tile in tiles
    )
  )


def _time(found):
  per_core = found.get('frames_per_sec_per_core')
  rows = [
    (
      name,
      f'{1e3 * each["step_sec"]:.1f}',
      *(
        f'{1e3 * each[key]:.1f}' if key in each else '-'
        for key in ('matmul_sec', 'kernel_sec', 'other_sec', 'exposed_sec')
      ),
      f'{each["mfu"]:.3f}',
      f'{each["clips_per_sec"]:.0f}',
      f'{each["frames_per_sec_per_host"]:.0f}',
      f'{each["frames_per_sec_per_host"] / per_core:.0f}' if per_core else '-',
      f'{each["days"]:.2f}',
    )
    for name, each in found['estimates'].items()
  ]
  text = table(
    (
      *('estimate', 'step ms', 'products', 'kernels', 'others', 'exposed'),
      *('MFU', 'clips/s', 'frames/s per host', 'cores of a host', 'days'),
    ),
    rows,
  )
  if 'largest_costs' in found:
    text += table(
      ('compute, roofline', 'ms a step'),
      (
        (row['what'], f'{1e3 * row["seconds"]:.2f}')
        for row in found['largest_costs']
      ),
    )
  return f'<h2>Time of a step</h2>{text}'


def _memory(found):
  rows = [
    (f'{name}, by formula', f'{count / GIB:.3f}')
    for name, count in found['bytes_by_formula'].items()
  ]
  rows += [
    (f'{name}, by the compiler', f'{count / GIB:.3f}')
    for name, count in found.get('compiled_bytes', {}).items()
  ]
  rows += [
    (
      f'{row["is"]} {row["shape"]} {row["what"]}',
      f'{row["bytes"] / GIB:.3f}',
    )
    for row in found.get('largest_buffers', ())
  ]
  text = table((f'bytes of a {found["bytes_of"]}', 'GiB'), rows)
  return f'<h2>Memory of a {found["bytes_of"]}</h2>{text}'


def _communication(found):
  text = ''.join(
    f'<p class="note">warning: {escape(line)}</p>' for line in found['warnings']
  )
  text += table(
    ('collective', 'over', 'of', 'array', 'runs', 'GiB', 'ms', 'exposed ms'),
    (
      (
        row['kind'] + (' (async)' if row['async'] else ''),
        row['axes'],
        str(row['group']),
        row['shape'],
        f'{row["count"]:.0f}',
        f'{row["bytes"] / GIB:.3f}',
        f'{1e3 * row["seconds"]:.2f}',
        f'{1e3 * row["exposed_sec"]:.2f}',
      )
      for row in found['collectives']
    ),
  )
  return f'<h2>Communication</h2>{text}'


def _model(found):
  rows = [
    (part, f'{count / 1e12:.5g}')
    for part, count in found['flops_per_step'].items()
  ]
  rows.append(('checkpoint, GB', f'{found["checkpoint_bytes"] / 1e9:.2f}'))
  return f'<h2>Model</h2>{table(("part", "TFLOP a step"), rows)}'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """An HTML table; texts are escaped."""

  def cells(texts, tag='td'):
    return ''.join(f'<{tag}>{escape(text)}</{tag}>' for text in texts)

  return html_table(
    cells(head, 'th'), [f'<tr>{cells(row)}</tr>' for row in rows]
  )
