"""A search asks for runs, and learns from how they ended."""

import pytest

from launch.checks import Cost
from launch.sweep import results, search, state
from launch.sweep.entry import Entry
from tests import commands

pytest.importorskip('optuna', reason='pip install --group search')
pytestmark = pytest.mark.filterwarnings('ignore::FutureWarning')

SEARCH = """
def search_rate(trial, arg=''):
  lr = trial.suggest_float('optim.lr', 0.0, 1.0)
  return {'config': 'configs/quickstart.py' + arg, 'optim.lr': lr}
def search_coin(trial):
  side = trial.suggest_categorical('side', ['x'])
  return {'config': side}
def search_wrong(trial):
  yield {}
"""


@pytest.fixture
def make(tmp_path):
  """A function that begins a search in a journal, or goes on with it."""
  path = tmp_path / 'sweep_mine.py'
  path.write_text(SEARCH)

  def make(name='rate', arg='', journal=tmp_path / 'study.log', **changes):
    options = {'trials': 30, 'score': 'eval/loss', 'maximize': False}
    return search.Search(
      f'{path}{arg}', name, journal=f'{journal}', **options | changes
    )

  return make


def ended(items):
  """Entries of runs that are over."""
  return [
    Entry(item.name, '', [], state.fresh(item), Cost(1, 1.0)) for item in items
  ]


def rate(entry):
  return entry.state.overrides['optim.lr']


@pytest.mark.parametrize('maximize', [False, True])
def test_it_comes_near_the_best(make, monkeypatch, maximize):
  def scores(entry):
    off = (rate(entry) - 0.7) ** 2
    return {'eval/loss': -off if maximize else off}

  monkeypatch.setattr(results, 'scores', scores)
  found = make(maximize=maximize)
  rounds = 0
  while found.ask(3):
    found.tell(ended(found.items()))
    rounds += 1
  assert rounds == 10
  items = found.items()
  assert [item.name for item in items] == [f'trial-{n}' for n in range(30)]
  best = min(items, key=lambda item: abs(item.overrides['optim.lr'] - 0.7))
  assert abs(best.overrides['optim.lr'] - 0.7) < 0.05
  assert f'best of 30 trials: {best.name}, eval/loss ' in found.best()


def test_one_that_was_killed_goes_on_with_what_it_asked_for(make, monkeypatch):
  monkeypatch.setattr(results, 'scores', lambda entry: {'eval/loss': 1.0})
  first = make()
  assert first.ask(2)
  asked = first.items()
  # And in the moment before it was known what is asked for.
  first._study.ask()
  again = make()
  assert again.items() == asked
  assert again.ask(2)
  assert again.items() == asked
  again.tell(ended(asked))
  assert again.ask(2)
  drawn = [item.overrides['optim.lr'] for item in again.items()]
  assert len({*drawn}) == 4


def test_what_failed_is_told_and_what_goes_on_is_not(make, monkeypatch):
  monkeypatch.setattr(results, 'scores', lambda entry: {'eval/loss': 1.0})
  found = make(trials=2)
  found.ask(2)
  bad, open_ = ended(found.items())
  bad.state.failed = 'it diverged'
  open_.stages = ['train']
  monkeypatch.setattr(
    Entry, 'stage', property(lambda e: (e.stages or [None])[0])
  )
  found.tell([bad, open_])
  assert found.best() == 'no trial has a score'
  assert found.ask(2)
  found.tell(ended(found.items())[1:])
  assert not found.ask(2)
  assert 'best of 2 trials: trial-1' in found.best()


def test_trials_of_the_same_options_share_a_run(make, monkeypatch):
  monkeypatch.setattr(results, 'scores', lambda entry: {'eval/loss': 2.0})
  found = make('coin', trials=3)
  while found.ask(1):
    (item,) = found.items()
    assert item.name == 'trial-0'
    found.tell(ended([item]))
  assert 'best of 3 trials: trial-0, eval/loss 2.0000' in found.best()


def test_what_cannot_be_searched_is_named(make, tmp_path, monkeypatch):
  with pytest.raises(ValueError, match="did you mean 'rate'"):
    make('rates')
  with pytest.raises(ValueError, match='takes no argument: leave out :x'):
    make('coin', arg=':x')
  with pytest.raises(ValueError, match='trial 0 is a generator, expected a d'):
    make('wrong', journal='').ask(1)
  with pytest.raises(ValueError, match='give a file of a disk by --study='):
    search.journal_of('gs://b/rate', '')
  assert search.journal_of('gs://b/rate', 'a.log') == 'a.log'
  with pytest.raises(ValueError, match='expected one of train/loss, eval/loss'):
    search.check_score('eval/los', has_readouts=True)
  with pytest.raises(ValueError, match='or with --readouts='):
    search.check_score('depth abs_rel', has_readouts=False)
  search.check_score('depth abs_rel', has_readouts=True)
  make(journal=tmp_path / 'other.log').ask(1)
  with pytest.raises(ValueError, match=r"other\.log is of .*'maximize': False"):
    make(journal=tmp_path / 'other.log', maximize=True)
  monkeypatch.setattr(results, 'scores', lambda entry: {'train/loss': 2.0})
  found = make(arg=':steps=3')
  found.ask(1)
  assert found.items()[0].recipe == 'configs/quickstart.pysteps=3'
  with pytest.raises(
    ValueError, match='no score of trial-0, expected one of t'
  ):
    found.tell(ended(found.items()))


def test_the_command_checks_what_would_be_asked_first(tmp_path):
  def run(*words):
    return commands.run(
      *('launch.sweep', *words, '--dry_run', '--config=configs/sweeps/rate.py'),
      *(f'--workdir={tmp_path}/rate', '--search=tiny'),
    )

  done = run()
  assert '# trial-0: ' in done.stdout
  assert '--config.optim.lr=' in done.stdout
  assert not (tmp_path / 'rate').exists()
  done = run('--sweep=tiny')
  assert done.returncode == 1
  assert 'expected no --sweep and no --retry' in done.stderr


def test_a_study_that_cannot_be_written_is_told_before_anything_is_asked(
  tmp_path,
):
  for study in (tmp_path / 'none' / 'a.log', tmp_path):
    with pytest.raises(ValueError, match='a file in a folder that is there'):
      search.journal_of('rate', str(study))
