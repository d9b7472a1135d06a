"""Where the time of a run went, over all of its starts."""

import os

from evals.report import reading, tables
from evals.report.tables import escape


def section(run: reading.Run, out: str) -> str:
  """The goodput of a run, and a table that is folded; '' if nobody has told.

  Args:
    run: whose.
    out: folder of the page, for the CSV.
  """
  if not run.bill:
    return ''
  csv = f'{run.slug}-goodput.csv'
  lines = [
    {'bucket': name, 'seconds': round(seconds, 3)}
    for name, seconds in run.bill.buckets().items()
  ]
  tables.write_csv(os.path.join(out, csv), lines)
  rows = run.bill.lines()
  cells = [
    ''.join(f'<td>{escape(cell)}</td>' for cell in row.values()) for row in rows
  ]
  table = tables.html_table(
    ''.join(f'<th>{name}' for name in rows[0]),
    [f'<tr>{line}</tr>' for line in cells],
  )
  return f"""
<details><summary>Where the time of {escape(run.name)} went:
{escape(f'{run.bill}')}</summary>{table}
<p class="note">Buckets are those of ml-goodput-measurement. Numbers:
<a href="{csv}">{csv}</a>.</p></details>"""
