"""What drills found, as a part of docs/reliability.md."""

import dataclasses
from collections.abc import Mapping, Sequence

from base.console import duration

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


def text(results: Sequence[Result]) -> str:
  """A table of all, and one of each that has its own."""
  lines = [
    {
      'drill': f'`python -m launch.drill {each.name}`',
      'checks that were right': f'{each.checks}',
      'ended': each.ended,
      'took': duration(each.seconds),
    }
    for each in results
  ]
  names = ' '.join(each.name for each in results)
  parts = [f'Of `python -m launch.drill {names}`:', _table(lines)]
  parts += [
    f'## {each.name}\n\n{_table(each.rows)}' for each in results if each.rows
  ]
  return '\n\n'.join(parts)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
  names = list(dict.fromkeys(name for row in rows for name in row))
  cells = [names, ['---'] * len(names)]
  cells += [[row.get(name, '') for name in names] for row in rows]
  return '\n'.join(f'| {" | ".join(line)} |' for line in cells)
