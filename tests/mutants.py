"""Makes one-line mistakes and looks whether tests notice: `make mutants`.

    python -m tests.mutants [WORDS ...] [--jobs=2] [--least=0.95]

Each change of tests/mutants.toml is made in a copy of the last commit, and its
tests are run there. WORDS choose those whose file or change has one of them.
What was found is kept in runs/mutants.jsonl, with what the file and its tests
held: the same command goes on where it was stopped, and after a survivor was
given its test makes that one again. What ended by a limit of time is caught if
it does so twice, and its tests pass in between without it: else the machine was
busy, and it is not known. Ends with 1 if fewer than `--least` were caught.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import queue
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence

from base import console

ROOT = pathlib.Path(__file__).parents[1]
LIST = ROOT / 'tests' / 'mutants.toml'
FOUND = ROOT / 'runs' / 'mutants.jsonl'
# A mistake may make a test wait for ever; none takes as long.
_LIMIT_SEC = 600
_CAUGHT = ('caught', 'hung')
# Lines of pytest of a test that waited for too long: it may have been slow.
_WAITED = re.compile(r'^E .*(time.?out|timed out|\bwait\()', re.I | re.M)


@dataclasses.dataclass(frozen=True)
class Mutant:
  """A mistake of one line, and what is to notice it."""

  file: str
  old: str
  new: str
  tests: tuple[str, ...]  # arguments of pytest

  @property
  def name(self) -> str:
    """For people, and for the file of what was found."""
    return f'{self.file}: {self.old} -> {self.new}'

  def made_in(self, text: str) -> str:
    """The file's text with the mistake.

    Raises:
      ValueError: what it replaces is not there, or not once.
    """
    if text.count(self.old) != 1:
      raise ValueError(
        f'{self.file} has {self.old!r} {text.count(self.old)} times, expected '
        'once: correct tests/mutants.toml'
      )
    return text.replace(self.old, self.new)


def listed(path: pathlib.Path) -> list[Mutant]:
  """Those of a list."""
  found = []
  for file, group in tomllib.loads(path.read_text()).items():
    for old, new, *test in group['changes']:
      names = [f'{name}::{test[0]}' for name in group['tests']] if test else ()
      found.append(Mutant(file, old, new, tuple(names or group['tests'])))
  return found


def run(
  mutants: Sequence[Mutant], root: pathlib.Path, found: pathlib.Path, jobs: int
) -> dict[str, str]:
  """What became of each, by its name: see `judge`.

  Args:
    mutants: to be made.
    root: of the repository, whose last commit is copied.
    found: file of what is known, and is added to.
    jobs: mutants at a time.

  Raises:
    ValueError: tests that fail without a mistake, or a mistake that cannot be
      made.
  """
  keys = {mutant.name: _held(root, mutant) for mutant in mutants}
  known = dict(_known(found, keys))
  left = [mutant for mutant in mutants if mutant.name not in known]
  copies: queue.SimpleQueue[pathlib.Path] = queue.SimpleQueue()
  with contextlib.ExitStack() as held:
    if left:
      for _ in range(min(jobs, len(left))):
        copies.put(held.enter_context(_copy(root)))
    bar = held.enter_context(
      console.progress('mutants', len(mutants), 'mutant')
    )
    bar.update(len(mutants) - len(left))
    threads = held.enter_context(concurrent.futures.ThreadPoolExecutor(jobs))
    sound: dict[tuple[str, ...], bool] = {}

    def one(mutant: Mutant) -> tuple[Mutant, str, float]:
      copy, began = copies.get(), time.monotonic()
      try:
        # Or what fails would not be the mistake's doing.
        if mutant.tests not in sound:
          sound[mutant.tests] = _passes(copy, mutant.tests)
        if not sound[mutant.tests]:
          raise ValueError(
            f'{" ".join(mutant.tests)} fails without any mistake: mend it first'
          )
        return mutant, judge(mutant, copy), time.monotonic() - began
      finally:
        copies.put(copy)

    tasks = [threads.submit(one, mutant) for mutant in left]
    try:
      for task in concurrent.futures.as_completed(tasks):
        mutant, outcome, seconds = task.result()
        known[mutant.name] = outcome
        bar.update(1)
        if outcome != 'caught':
          console.say(f'{outcome}: {mutant.name}')
        if outcome == 'UNKNOWN':
          continue  # another time it may be
        line = {'mutant': mutant.name, 'outcome': outcome}
        line |= {'held': keys[mutant.name]}
        found.parent.mkdir(parents=True, exist_ok=True)
        with open(found, 'a') as file:
          file.write(json.dumps(line | {'seconds': round(seconds, 1)}) + '\n')
    finally:
      threads.shutdown(cancel_futures=True)
  return {mutant.name: known[mutant.name] for mutant in mutants}


def judge(mutant: Mutant, copy: pathlib.Path) -> str:
  """Makes a mistake in a copy, runs its tests, and takes it back.

  Returns:
    'caught', 'SURVIVED', or what a limit of time ended: 'hung', or 'UNKNOWN' if
    that may be the machine's doing.
  """
  path = copy / mutant.file
  before = path.read_text()

  def made() -> str:
    path.write_text(mutant.made_in(before))
    try:
      code, said = _pytest(copy, mutant.tests)
    finally:
      path.write_text(before)
    if code is None or (code and _WAITED.search(said)):
      return 'hung'
    return 'caught' if code else 'SURVIVED'

  outcome = made()
  if outcome == 'hung':
    passes = _pytest(copy, mutant.tests)[0] == 0
    outcome = made() if passes else 'UNKNOWN'
  return outcome


def _passes(copy: pathlib.Path, tests: Sequence[str]) -> bool:
  """Whether they do; what waited too long may do so the second time."""
  code, said = _pytest(copy, tests)
  if code is None or _WAITED.search(said):
    code, said = _pytest(copy, tests)
  return code == 0


def _pytest(copy: pathlib.Path, tests: Sequence[str]) -> tuple[int | None, str]:
  """Its code, None if it did not end, and what it said."""
  command = [
    sys.executable,
    '-m',
    'pytest',
    '-x',
    '-q',
    '-p',
    'no:cacheprovider',
  ]
  # A file that is written twice in a second may look the same to its cache.
  quiet = os.environ | {'PYTHONDONTWRITEBYTECODE': '1'}
  try:
    done = subprocess.run(
      [*command, *tests],
      cwd=copy,
      env=quiet,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      timeout=_LIMIT_SEC,
      text=True,
      errors='replace',
    )
  except subprocess.TimeoutExpired:
    return None, ''
  return done.returncode, done.stdout


@contextlib.contextmanager
def _copy(root: pathlib.Path) -> Iterator[pathlib.Path]:
  """A worktree of the last commit."""
  with tempfile.TemporaryDirectory() as folder:
    copy = pathlib.Path(folder) / 'copy'
    _git(root, 'worktree', 'add', '--detach', str(copy), 'HEAD')
    try:
      yield copy
    finally:
      _git(root, 'worktree', 'remove', '--force', str(copy))


def _git(root: pathlib.Path, *words: str) -> str:
  done = subprocess.run(
    ['git', *words], cwd=root, check=True, capture_output=True, text=True
  )
  return done.stdout


def _held(root: pathlib.Path, mutant: Mutant) -> list[str]:
  """What the file and its tests are in the last commit."""
  paths = [mutant.file, *(name.partition('::')[0] for name in mutant.tests)]
  return _git(root, 'rev-parse', *(f'HEAD:{path}' for path in paths)).split()


def _known(
  found: pathlib.Path, keys: dict[str, list[str]]
) -> Iterator[tuple[str, str]]:
  """(name, outcome) of what was found before, of the same file and tests."""
  lines = found.read_text().splitlines() if found.exists() else []
  for line in map(json.loads, lines):
    if line['held'] == keys.get(line['mutant']):
      yield line['mutant'], line['outcome']


def summary(mutants: Sequence[Mutant], outcomes: dict[str, str]) -> str:
  """A line for each room, and one for each that was not caught."""

  def room(mutant):
    return mutant.file.partition('/')[0]

  rows = []
  for name, group in itertools.groupby(sorted(mutants, key=room), room):
    mine = [outcomes[mutant.name] for mutant in group]
    caught = sum(outcome in _CAUGHT for outcome in mine)
    rows.append({'room': name, 'made': f'{len(mine)}', 'caught': f'{caught}'})
  lost = [
    f'{"not known" if outcome == "UNKNOWN" else "not caught"}: {name}'
    for name, outcome in outcomes.items()
    if outcome not in _CAUGHT
  ]
  return '\n'.join([console.table(rows), *lost])


def main(words: Sequence[str] | None = None) -> int:
  """The command; its code."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('words', nargs='*', help='of a file or a change')
  parser.add_argument('--jobs', type=int, default=2, help='at a time')
  parser.add_argument('--least', type=float, default=0.95, help='to be caught')
  asked = parser.parse_args(words)
  mutants = [
    mutant
    for mutant in listed(LIST)
    if not asked.words or any(word in mutant.name for word in asked.words)
  ]
  if not mutants:
    raise ValueError(f'no mutant has one of {asked.words}: see {LIST}')
  outcomes = run(mutants, ROOT, FOUND, asked.jobs)
  print(summary(mutants, outcomes))
  caught = sum(outcome in _CAUGHT for outcome in outcomes.values())
  print(f'{caught} of {len(mutants)} caught, {caught / len(mutants):.0%}')
  return int(caught < asked.least * len(mutants))


if __name__ == '__main__':
  sys.exit(main())
