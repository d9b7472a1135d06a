"""What drills found, as a part of docs/reliability.md."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from base.console import duration
from launch.marked import END

BEGIN = '<!-- `make drills` writes from here -->'


@dataclasses.dataclass(frozen=True)
class Result:
  """Of a drill that was played to its end, or until it failed.

  Attributes:
    name: of the drill.
    checks: of what is promised, that were right.
    seconds: it took.
    rows: what was tried, where the drill has a table of it.
    wrong: what was not as promised; '': nothing.
    lacks: why it was not played; '': it was.
  """

  name: str
  checks: int = 0
  seconds: float = 0.0
  rows: Sequence[Mapping[str, str]] = ()
  wrong: str = ''
  lacks: str = ''

  @property
  def ended(self) -> str:
    """In a word, or why not."""
    if self.lacks:
      return f'not played: {self.lacks}'
    return f'**wrong**: {self.wrong}' if self.wrong else 'right'

  def __str__(self) -> str:
    said = self.ended.replace('*', '')
    return (
      f'drill {self.name}: {self.checks} checks, {duration(self.seconds)}, '
      f'{said}'
    )


def text(results: Sequence[Result], before: str = '') -> str:
  """A table of all, and one of each that has its own.

  Args:
    results: of drills that were played.
    before: the document: what it says of others stays.
  """
  lines, tables = _told(before)
  for each in results:
    line = {
      'drill': f'`python -m launch.drill {each.name}`',
      'checks that were right': f'{each.checks}',
      'ended': each.ended,
      'took': duration(each.seconds),
    }
    head, rule, lines[each.name] = _table([line]).split('\n')
    tables[each.name] = _table(each.rows) if each.rows else ''
  parts = ['\n'.join([head, rule, *(lines[name] for name in sorted(lines))])]
  parts += [
    f'## {name}\n\n{tables[name]}' for name in sorted(tables) if tables[name]
  ]
  return '\n\n'.join(parts)


def _told(document: str) -> tuple[dict[str, str], dict[str, str]]:
  """The line, and the table of its own, of each drill that it tells of."""
  _, _, part = document.partition(BEGIN)
  part, _, _ = part.partition(END)
  lines = {
    name: line
    for line in part.split('\n')
    for name in re.findall(r'^\| `python -m launch\.drill (\w+)` \|', line)
  }
  sections = re.findall(r'^## (\w+)\n\n((?:\|.*\n)+)', part, re.MULTILINE)
  return lines, {name: table.rstrip() for name, table in sections}


def _table(rows: Sequence[Mapping[str, str]]) -> str:
  names = list(dict.fromkeys(name for row in rows for name in row))
  cells = [names, ['---'] * len(names)]
  cells += [[row.get(name, '') for name in names] for row in rows]
  return '\n'.join(f'| {" | ".join(line)} |' for line in cells)
