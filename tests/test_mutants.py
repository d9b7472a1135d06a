"""The list of mistakes is one that can be made; who makes them tells right."""

import pathlib
import subprocess

import pytest

from tests import mutants as mutants_lib

ROOT = mutants_lib.ROOT
MUTANTS = mutants_lib.listed(mutants_lib.LIST)


@pytest.mark.parametrize('mutant', MUTANTS, ids=lambda mutant: mutant.name)
def test_each_can_be_made_and_has_its_tests(mutant):
  before = (ROOT / mutant.file).read_text()
  after = mutant.made_in(before)
  compile(after, mutant.file, 'exec')  # or any test would notice
  changed = zip(before.splitlines(), after.splitlines(), strict=True)
  assert sum(a != b for a, b in changed) == 1
  for name in mutant.tests:
    path, _, test = name.partition('::')
    assert (ROOT / path).exists()
    assert not test or f'def {test}(' in (ROOT / path).read_text()


def test_no_room_is_left_out():
  rooms = {mutant.file.partition('/')[0] for mutant in MUTANTS}
  assert rooms >= {'base', 'data', 'evals', 'launch', 'models', 'train'}
  assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 60


def commit(folder, message):
  who = ('-c', 'user.name=a', '-c', 'user.email=a@example.com')
  for words in (['add', '*.py'], ['commit', '-qm', message]):
    subprocess.run(['git', *who, *words], cwd=folder, check=True)


@pytest.fixture
def repository(tmp_path):
  """One with a function of two lines, of which a test looks at one."""
  files = {
    'code.py': 'def both(x):\n  return x + 1, x + 2\n',
    'test_code.py': (
      'import code_under_test\n\n\n'
      'def test():\n  assert code_under_test.both(1)[0] == 2\n'
    ),
  }
  files['code_under_test.py'] = files.pop('code.py')
  for name, text in files.items():
    pathlib.Path(tmp_path, name).write_text(text)
  subprocess.run(['git', 'init', '-q'], cwd=tmp_path, check=True)
  commit(tmp_path, 'first')
  return tmp_path


def test_mistakes_are_made_in_a_copy_and_once(repository, monkeypatch):
  made = [
    mutants_lib.Mutant('code_under_test.py', old, 'x', ('test_code.py',))
    for old in ('x + 1', 'x + 2')
  ]
  found = repository / 'runs' / 'found.jsonl'
  outcomes = mutants_lib.run(made, repository, found, 1)
  assert [*outcomes.values()] == ['caught', 'SURVIVED']
  text = mutants_lib.summary(made, outcomes)
  assert text.endswith('not caught: code_under_test.py: x + 2 -> x')
  assert 'x + 1, x + 2' in (repository / 'code_under_test.py').read_text()
  done = subprocess.run(
    ['git', 'worktree', 'list'], cwd=repository, capture_output=True, text=True
  )
  assert len(done.stdout.splitlines()) == 1
  # What is known of this commit is not asked again.
  monkeypatch.setattr(mutants_lib, '_pytest', None)
  assert mutants_lib.run(made, repository, found, 1) == outcomes


def test_a_survivor_is_made_again_once_it_has_another_test(repository):
  survivor = mutants_lib.Mutant(
    'code_under_test.py', 'x + 2', 'x', ('test_code.py',)
  )
  found = repository / 'runs' / 'found.jsonl'
  (outcome,) = mutants_lib.run([survivor], repository, found, 1).values()
  assert outcome == 'SURVIVED'
  with open(repository / 'test_code.py', 'a') as file:
    file.write('  assert code_under_test.both(1)[1] == 3\n')
  commit(repository, 'second')
  (outcome,) = mutants_lib.run([survivor], repository, found, 1).values()
  assert outcome == 'caught'


@pytest.mark.parametrize(
  ('busy', 'outcome'), [(False, 'hung'), (True, 'UNKNOWN')]
)
def test_what_a_limit_ends_is_caught_if_the_machine_is_not_slow(
  repository, monkeypatch, busy, outcome
):
  """The machine is slow from the first mistake on, or waits for it alone."""
  said = 'E   subprocess.TimeoutExpired: timed out after 60 seconds'
  ran = []

  def pytest_(copy, tests):
    text = (copy / 'code_under_test.py').read_text()
    ran.append('x + 2' not in text)
    return (1, said) if ran[-1] or (busy and any(ran)) else (0, '')

  monkeypatch.setattr(mutants_lib, '_pytest', pytest_)
  mutant = mutants_lib.Mutant(
    'code_under_test.py', 'x + 2', 'x', ('test_code.py',)
  )
  found = repository / 'runs' / 'found.jsonl'
  outcomes = mutants_lib.run([mutant], repository, found, 1)
  assert outcomes == {mutant.name: outcome}
  assert ran == [False, True, False] + ([] if busy else [True])
  assert found.exists() != busy  # what is not known is made again
  lost = 'not known' in mutants_lib.summary([mutant], outcomes)
  assert lost == busy


def test_tests_that_fail_anyway_judge_nothing(repository):
  pathlib.Path(repository, 'none.py').write_text('assert False\n')
  commit(repository, 'broken')
  broken = mutants_lib.Mutant('code_under_test.py', 'x + 2', 'x', ('none.py',))
  with pytest.raises(ValueError, match=r'none\.py fails without any mistake'):
    mutants_lib.run([broken], repository, repository / 'found.jsonl', 1)
