"""Lines for people: messages, tables, and how far long work has come."""

import io
import shutil
import sys
import time
from collections.abc import Mapping, Sequence

import tqdm

# Seconds between two lines of progress where there is no terminal: a log of
# hours shows that work goes on, and is not flooded.
_BETWEEN_LINES = 30.0

_LINE = '{desc}: {n_fmt}/{total_fmt}, {rate_fmt}, {remaining} left{postfix}'

_muted = False


def mute() -> None:
  """From here on `say` and `progress` are silent in this process.

  For all processes of a run but the first: one line is said once.
  """
  global _muted
  _muted = True


def say(*parts: str) -> None:
  """One line on stdout, above a bar of `progress` if one is shown.

  Nothing, if all parts are empty.
  """
  if not _muted and any(parts):
    with tqdm.tqdm.external_write_mode(sys.stdout):
      print('  '.join(part for part in parts if part), flush=True)


# Every update looks at the clock itself: no thread has to wake a slow bar.
tqdm.tqdm.monitor_interval = 0


class _Lines(tqdm.tqdm):
  """A bar whose states are lines under one another, of long work only."""

  _shown = (0, 0.0)  # done, and seconds since the start, of the last line

  def clear(self, nolock=False):
    """Leaves the line where it is, which is in a log."""

  def display(self, msg=None, pos=None):
    """Prints the state, unless a line of it or shortly before is there."""
    del msg, pos
    took, (done, before) = self.format_dict['elapsed'], self._shown
    at_end = done and self.n == self.total
    if self.n > done and (at_end or took - before >= _BETWEEN_LINES):
      self._shown = self.n, took
      print(self, flush=True)

  def close(self):
    """Without the end of the line that a bar leaves open."""
    if not self.disable:
      self.display()
      self._decr_instances(self)
      self.disable = True


def progress(what: str, total: int | None, unit: str, **options) -> tqdm.tqdm:
  """How far work has come: a bar on a terminal, else a line now and then.

  A context manager; `update(n)` says that n more units are done, and
  `set_postfix_str(text, refresh=False)` what else there is to say. It shows the
  mean rate and the time left by it.

  Args:
    what: is being done.
    total: units of work; None where that is not known.
    unit: name of one, such as 'clip'.
    **options: further ones of tqdm.
  """
  is_terminal = sys.stdout.isatty()
  return (tqdm.tqdm if is_terminal else _Lines)(
    desc=what,
    total=total,
    unit=unit,
    # Lines are printed by `display`; what tqdm writes itself is of bars.
    file=sys.stdout if is_terminal else io.StringIO(),
    disable=_muted,
    mininterval=0.2 if is_terminal else _BETWEEN_LINES,
    miniters=1,
    dynamic_ncols=is_terminal,
    bar_format=None if is_terminal else _LINE,
    smoothing=0,  # the mean of all, not of the last: files differ in length
    **options,
  )


def table(lines: Sequence[Mapping[str, str]]) -> str:
  """Under a line of names, a line for each, in columns."""
  names = dict.fromkeys(name for line in lines for name in line)
  rows = [{name: name for name in names}, *lines]
  cells = [[row.get(name, '') for name in names] for row in rows]
  width = [max(map(len, column)) for column in zip(*cells)]
  return '\n'.join(
    '  '.join(x.ljust(w) for x, w in zip(row, width)).rstrip() for row in cells
  )


def duration(seconds: float) -> str:
  """'1h02m', '3m20s', '12s'."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours}h{minutes:02}m'
  return f'{minutes}m{seconds:02}s' if minutes else f'{seconds}s'


class Board:
  """Lines at the bottom of a terminal that change; what `say` says is above.

  Where there is no terminal, the first of them now and then.
  """

  def __init__(self):
    self._bars: list[tqdm.tqdm] = []
    self._is_terminal = sys.stdout.isatty()
    self._said, self._at = '', time.monotonic()

  def show(self, first: str, lines: Sequence[str]) -> None:
    """Draws them in place of those before."""
    if _muted:
      return
    if not self._is_terminal:
      now = time.monotonic()
      if first != self._said and now - self._at >= _BETWEEN_LINES:
        self._said, self._at = first, now
        say(first)
      return
    wanted = [first, *lines]
    while len(self._bars) < len(wanted):
      self._bars.append(
        tqdm.tqdm(
          bar_format='{desc}',
          file=sys.stdout,
          leave=False,
          position=len(self._bars),
        )
      )
    width = shutil.get_terminal_size().columns - 1
    wanted += [''] * (len(self._bars) - len(wanted))
    for bar, line in zip(self._bars, wanted):
      bar.set_description_str(line[:width])

  def close(self) -> None:
    """Takes them away."""
    for bar in reversed(self._bars):
      bar.close()
    self._bars = []
