"""Runs that are started again and again, and how long each start takes."""

import contextlib
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from base import console

# Every step is said, so that the first one is seen when it is done.
_ALL = ('--config.log.every=1', '--config.log.wandb=disabled')
_NEW, _NOTHING = 'new run', 'nothing compiled'
_KINDS = (
  *((_NEW, _NOTHING), (_NEW, 'compiled before')),
  *(('restart', _NOTHING), ('restart', 'compiled before')),
)


def compare(
  checkouts: Mapping[str, pathlib.Path], words: Sequence[str], rounds: int
) -> str:
  """The table.

  Args:
    checkouts: by name: 'here', and perhaps 'there'.
    words: of `python -m train`, beside folders.
    rounds: of each kind of start.

  Raises:
    ValueError: a run that ends before its first step.
  """
  took = defaultdict(list)
  total = (1 + len(_KINDS) * rounds) * len(checkouts)
  with (
    tempfile.TemporaryDirectory() as folder,
    console.progress('starts', total, 'start') as bar,
  ):
    runs = {
      name: _Run(checkout, pathlib.Path(folder), name, words)
      for name, checkout in checkouts.items()
    }
    for run in runs.values():
      run.start()  # it makes what all share: clips, bytecode of modules
      bar.update()
    for number in range(rounds):
      # Who is first changes.
      order = list(runs) if number % 2 else list(runs)[::-1]
      for start, programs in _KINDS:
        for name in order:
          if start == _NEW:
            runs[name].forget_steps()
          if programs == _NOTHING:
            runs[name].forget_programs()
          took[start, programs, name].append(runs[name].start())
          bar.update()
  return console.table([_line(*kind, took) for kind in _KINDS])


def _line(start: str, programs: str, took) -> dict[str, str]:
  """Of the table."""
  here, there = took[start, programs, 'here'], took[start, programs, 'there']
  line = {'start': start, 'programs': programs}
  line['here'] = f'{statistics.median(x for x, _ in here):.1f} s'
  if there:
    line['there'] = f'{statistics.median(x for x, _ in there):.1f} s'
    ratio = statistics.median(a / b for (a, _), (b, _) in zip(here, there))
    line['ratio'] = f'{ratio:.2f}'
  line['parts of the last one here'] = here[-1][1]
  return line


class _Run:
  """A run of one checkout, started again and again."""

  def __init__(self, checkout, folder, name, words):
    self._checkout = checkout
    self._workdir = folder / name / 'run'
    self._programs = folder / name / 'programs'
    self._words = [
      *(sys.executable, '-m', 'train', *words, *_ALL),
      *(f'--workdir={self._workdir}', f'--compilation_cache={self._programs}'),
    ]
    # Of the built-in world a few clips, rendered once.
    if any('quickstart' in word for word in words):
      world = '--config.data.sources.world'
      self._words += [f'{world}.clips=256', f'{world}.cache={folder}/world']

  def forget_steps(self) -> None:
    """The next start is that of a new run."""
    shutil.rmtree(self._workdir, ignore_errors=True)

  def forget_programs(self) -> None:
    """The next start compiles all that the run's folder does not hold."""
    shutil.rmtree(self._programs, ignore_errors=True)

  def start(self) -> tuple[float, str]:
    """(seconds to the first new step, their parts as the run says them)."""
    began = time.perf_counter()
    lines = []
    with subprocess.Popen(
      self._words,
      cwd=self._checkout,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    ) as process:
      try:
        for line in process.stdout:
          lines.append(line)
          if found := re.match('start-up .*?: *(.*)', line):
            took = time.perf_counter() - began
            process.send_signal(signal.SIGTERM)
            break
        else:
          raise ValueError(
            f'{" ".join(self._words)} in {self._checkout} ended before its '
            f'first step, with {lines[-1:]}: run it by itself'
          )
        # It saves, so that the next start goes on.
        process.stdout.read()
      finally:
        with contextlib.suppress(ProcessLookupError):
          process.terminate()
    return took, found[1]
