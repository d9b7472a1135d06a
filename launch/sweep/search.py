"""A search: runs that Optuna asks a function of the sweep's file for.

    def search_rate(trial):
      return {
        'config': 'configs/quickstart.py:steps=300',
        'optim.lr': trial.suggest_float('optim.lr', 1e-4, 1e-2, log=True),
      }

The study is a journal, so that a search which was killed goes on with what it
had asked for.
"""

import dataclasses
import importlib.util
import os
from collections.abc import Sequence

from base import files
from launch.sweep import results, runs
from launch.sweep.entry import Entry
from launch.sweep.runs import Item

_ITEM = 'run'  # attribute of a trial
_ABOUT = 'search'  # attribute of the study


class Search:
  """Trials of a study, each the run of its number.

  Those that ask for the same run share it.
  """

  def __init__(
    self,
    config: str,
    name: str,
    *,
    journal: str,
    trials: int,
    score: str,
    maximize: bool,
  ):
    """Begins one, or takes it up where the journal has it.

    Args:
      config: file of the sweep; see `runs.read`.
      name: 'x' of its `search_x(trial)`.
      journal: file; '': it is kept nowhere, to see what is asked for.
      trials: of all.
      score: a column of the sweep's table.
      maximize: whether more of it is better.

    Raises:
      ValueError: Optuna is not here, the file has no such function, or the
        journal is of another search.
    """
    if importlib.util.find_spec('optuna') is None:
      raise ValueError(
        '--search needs Optuna, which is not installed: pip install --group '
        'search'
      )
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    self._function, self._arguments = runs.function(config, name, 'search')
    self._trials, self._score = trials, score
    storage = None
    if journal:
      file = optuna.storages.journal.JournalFileBackend(journal)
      storage = optuna.storages.JournalStorage(file)
    self._study = optuna.create_study(
      storage=storage,
      study_name='search',
      direction='maximize' if maximize else 'minimize',
      load_if_exists=True,
    )
    about = {'search': name, 'score': score, 'maximize': maximize}
    before = self._study.user_attrs.get(_ABOUT, about)
    if before != about:
      raise ValueError(
        f'the journal {journal} is of {before}, not of {about}: choose another '
        '--workdir, or --study'
      )
    self._study.set_user_attr(_ABOUT, about)
    before = len(self._study.trials)
    # It draws anew in each process: of one seed the same would come again.
    self._study.sampler = optuna.samplers.TPESampler(seed=before)
    self._failed = optuna.trial.TrialState.FAIL

  def ask(self, count: int) -> bool:
    """Begins trials; whether any is not over.

    Args:
      count: of trials at a time, as long as some are left.

    Raises:
      ValueError: the function returns what is no run.
    """
    for trial in self._open():
      # Killed before it was known what it asks for.
      if _ITEM not in trial.user_attrs:
        self._study.tell(trial.number, state=self._failed)
    left = self._trials - len(self._study.trials)
    for _ in range(min(count - len(self._open()), left)):
      trial = self._study.ask()
      made = self._function(trial, *self._arguments)
      item = runs.item(made, f'trial {trial.number}')
      item = dataclasses.replace(item, name=f'trial-{trial.number}')
      trial.set_user_attr(_ITEM, dataclasses.asdict(item))
    return bool(self._open())

  def items(self) -> list[Item]:
    """The runs of all trials, in the order in which they were asked for."""
    return [*self._items().values()]

  def tell(self, entries: Sequence[Entry]) -> None:
    """How runs have ended: their score, or that they failed.

    Raises:
      ValueError: a run that is done has no such score.
    """
    by_identity = {
      Item(entry.state.recipe, entry.state.overrides).identity: entry
      for entry in entries
    }
    for trial in self._open():
      entry = by_identity[_item(trial).identity]
      if entry.state.failed:
        self._study.tell(trial.number, state=self._failed)
      elif entry.stage is None:
        scores = results.scores(entry)
        if self._score not in scores:
          raise ValueError(
            f'--score={self._score} is no score of {entry.name}, expected one '
            f'of {", ".join(scores)}'
          )
        self._study.tell(trial.number, scores[self._score])

  def best(self) -> str:
    """The best trial so far, as a line."""
    if not any(trial.value is not None for trial in self._study.trials):
      return 'no trial has a score'
    best = self._study.best_trial
    chosen = ', '.join(f'{key}={value}' for key, value in best.params.items())
    return (
      f'best of {len(self._study.trials)} trials: '
      f'{self._items()[_item(best).identity].name}, {self._score} '
      f'{best.value:.4f}, {chosen}'
    )

  def _open(self) -> list:
    return [x for x in self._study.trials if not x.state.is_finished()]

  def _items(self) -> dict[str, Item]:
    """Identity -> the first of those that are alike."""
    found: dict[str, Item] = {}
    for trial in self._study.trials:
      if _ITEM in trial.user_attrs:
        item = _item(trial)
        found.setdefault(item.identity, item)
    return found


def check_score(score: str, *, has_readouts: bool) -> None:
  """Whether runs can have it, as far as is known before one has ended.

  Args:
    score: a column of the table.
    has_readouts: whether some follow each run.

  Raises:
    ValueError: they cannot.
  """
  if score not in results.LOSSES and not (has_readouts and ' ' in score):
    raise ValueError(
      f'--score={score}: expected one of {", ".join(results.LOSSES)}, or with '
      "--readouts= 'TASK METRIC', as the table has it ('depth abs_rel')"
    )


def journal_of(workdir: str, study: str) -> str:
  """The file of a study.

  Args:
    workdir: of the sweep.
    study: file that was asked for; '': one in the workdir.

  Raises:
    ValueError: it would lie in an object store, where nothing is appended to;
      or no file can be written there.
  """
  path = study or f'{workdir}/study.log'
  if not files.is_local(path):
    raise ValueError(
      f'{path} is in an object store, where no journal can be kept: give a '
      'file of a disk by --study='
    )
  if study:
    folder = os.path.dirname(os.path.abspath(study))
    if not os.path.isdir(folder) or os.path.isdir(study):
      raise ValueError(
        f'--study={study}: expected a file in a folder that is there'
      )
    if not os.access(study if os.path.exists(study) else folder, os.W_OK):
      raise ValueError(
        f'--study={study} cannot be written by who runs this: choose another'
      )
  return path


def _item(trial) -> Item:
  return Item(**trial.user_attrs[_ITEM])
