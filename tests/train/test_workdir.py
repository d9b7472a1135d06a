import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

from base import files
from configs.common import training
from train import retention, workdir
from train.checkpoint import proof


def test_a_folder_with_nothing_in_it_is_settled_anew(tmp_path, capsys):
  workdir.settle(str(tmp_path), {'a': 1})
  workdir.settle(str(tmp_path), {'a': 2})
  assert json.loads((tmp_path / 'config.json').read_text()) == {'a': 2}
  assert 'a: 1 there, 2 now), which saved nothing' in capsys.readouterr().out
  # An unfinished write is no checkpoint.
  (tmp_path / 'checkpoints/3.orbax-checkpoint-tmp').mkdir(parents=True)
  workdir.settle(str(tmp_path), {'a': 3})
  with pytest.raises(ValueError, match=r'another config .a: 3 there, 4 now'):
    workdir.settle(str(tmp_path), {'a': 4}, anew=False)
  (tmp_path / 'result.json').touch()
  with pytest.raises(ValueError, match=r'another config .a: 3 there, 4 now'):
    workdir.settle(str(tmp_path), {'a': 4})
  (tmp_path / 'result.json').unlink()
  (tmp_path / 'checkpoints/3').mkdir()
  with pytest.raises(ValueError, match=r'another config .a: 3 there, 4 now'):
    workdir.settle(str(tmp_path), {'a': 4})
  workdir.settle(str(tmp_path), {'a': 3})


@pytest.mark.parametrize(
  ('content', 'what'),
  [('', 'empty'), ('{"a": 1', 'not JSON'), ('[1]', 'a list'), ('\xff', 'JSON')],
)
def test_a_damaged_config_names_itself(tmp_path, content, what):
  (tmp_path / 'config.json').write_bytes(content.encode('latin1'))
  with pytest.raises(ValueError, match=rf'config\.json .*{what}.* put a copy'):
    workdir.settle(str(tmp_path), {'a': 1})


@pytest.mark.parametrize('name', ['lr[1]', 'run*', 'run?'])
def test_a_folder_that_is_a_pattern_is_refused(tmp_path, name):
  """Checkpoints in it could not be read."""
  with (
    pytest.raises(ValueError, match='would not be found again'),
    workdir.claim(str(tmp_path / name), {'a': 1}),
  ):
    pass
  assert not (tmp_path / name).exists()


BEGAN = {'optim': {'lr': 3.0, 'b1': 0.9}, 'log': {'every': 1}}


def begun(folder, *steps):
  """A folder with checkpoints of these steps, of a run of BEGAN."""
  workdir.settle(str(folder), BEGAN)
  for step in steps:
    saved(folder, step)


def saved(folder, step):
  """A checkpoint that proves itself, and holds nothing else."""
  place = folder / 'checkpoints' / str(step)
  place.mkdir(parents=True)
  (place / 'values').write_text('1.5')
  proof.write(str(place))


def changed(**optim):
  return {**BEGAN, 'optim': {**BEGAN['optim'], **optim}}


def test_what_is_allowed_by_name_may_change_and_is_recorded(tmp_path):
  begun(tmp_path, 10)
  with pytest.raises(ValueError, match=r'add --allow=optim\.b1,optim\.lr\.'):
    workdir.settle(str(tmp_path), changed(lr=1.0, b1=0.8))
  asked = workdir.Asked(allow=['optim.lr'])
  with pytest.raises(ValueError, match=r'another config \(optim\.b1: 0\.9'):
    workdir.settle(str(tmp_path), changed(lr=1.0, b1=0.8), asked=asked)
  workdir.settle(str(tmp_path), changed(lr=1.0), asked=asked)
  # As after a stop, by the same command; then without the flag; then a section.
  workdir.settle(str(tmp_path), changed(lr=1.0), asked=asked)
  workdir.settle(str(tmp_path), changed(lr=1.0))
  (tmp_path / 'checkpoints/20').mkdir()
  asked = workdir.Asked(allow=['optim'])
  workdir.settle(str(tmp_path), changed(b1=0.8), asked=asked)
  assert workdir.read_config(str(tmp_path)) == changed(b1=0.8)
  first, second = workdir.read_history(str(tmp_path))
  assert (first['step'], second['step']) == (10, 20)
  assert first['changed'] == {'optim.lr': [3.0, 1.0]}
  assert second['changed'] == {'optim.b1': [0.9, 0.8], 'optim.lr': [1.0, 3.0]}
  assert first['time'] <= second['time']


def test_a_misspelt_name_is_not_allowed(tmp_path):
  begun(tmp_path, 10)
  with pytest.raises(ValueError, match=r"did you mean 'optim\.lr'"):
    workdir.settle(
      str(tmp_path), changed(lr=1.0), asked=workdir.Asked(allow=['optim.lrr'])
    )


def test_a_run_is_taken_back_once_by_one_command(tmp_path, capsys):
  begun(tmp_path, 10, 20, 30)
  asked = workdir.Asked(allow=['optim.lr'], back_to=10)
  with pytest.raises(ValueError, match=r'--back_to=15: .* \[10, 20, 30\]'):
    workdir.settle(str(tmp_path), BEGAN, asked=workdir.Asked(back_to=15))
  workdir.settle(str(tmp_path), changed(lr=1.0), asked=asked)
  assert workdir.steps(str(tmp_path)) == [10]
  (entry,) = workdir.read_history(str(tmp_path))
  assert (entry['step'], entry['back_to'], entry['back_from']) == (10, 10, 30)
  # It went on, and was stopped: the same command goes on too.
  (tmp_path / 'checkpoints/20').mkdir()
  shutil.rmtree(tmp_path / 'checkpoints/10')  # of which only so many stay
  workdir.settle(str(tmp_path), changed(lr=1.0), asked=asked)
  assert workdir.steps(str(tmp_path)) == [20]
  assert 'was taken back to step 10 already' in capsys.readouterr().out
  # With another value it is another command.
  saved(tmp_path, 10)
  workdir.settle(str(tmp_path), changed(lr=0.5), asked=asked)
  assert workdir.steps(str(tmp_path)) == [10]
  assert len(workdir.read_history(str(tmp_path))) == 2


def test_a_refused_start_removes_no_checkpoint(tmp_path):
  begun(tmp_path, 10, 20)
  with pytest.raises(ValueError, match='another config'):
    workdir.settle(
      str(tmp_path), changed(lr=1.0), asked=workdir.Asked(back_to=10)
    )
  asked = workdir.Asked(back_to=10)
  with (
    retention.hold(str(tmp_path), 20),
    pytest.raises(ValueError, match=r'step 20 of .* is being read'),
  ):
    workdir.settle(str(tmp_path), BEGAN, asked=asked)
  (tmp_path / 'checkpoints/10/values').write_text('2.5')
  with pytest.raises(ValueError, match='10 is damaged: values holds other'):
    workdir.settle(str(tmp_path), BEGAN, asked=asked)
  assert workdir.steps(str(tmp_path)) == [10, 20]


def test_a_result_is_of_one_config(tmp_path):
  begun(tmp_path, 10)
  (tmp_path / 'result.json').touch()
  with pytest.raises(ValueError, match=r'the result of another config .*lr: 3'):
    workdir.settle(
      str(tmp_path), changed(lr=1.0), asked=workdir.Asked(allow=['optim'])
    )


RUN = {
  'data': {'sources': {'own': {'name': 'videos', 'path': 'A', 'flip': 0.5}}},
  'model': {'remat': 'none', 'backbone': {'attention': 'auto', 'dim': 8}},
  'init_from': {'path': 'OTHER', 'step': 3},
  'step': {'ema': 0.0},
}


def run_changed(**values):
  """RUN with some values replaced, by their keys with __ for a point."""
  config = json.loads(json.dumps(RUN))
  for key, value in values.items():
    *above, name = key.split('__')
    section = config
    for part in above:
      section = section[part]
    section[name] = value
  return config


@pytest.mark.parametrize(
  ('changes', 'refused'),
  [
    # Where things lie, how it is computed, what there was not always.
    ({'data__sources__own__path': 'B'}, ''),
    ({'model__remat': 'full', 'model__backbone__attention': 'dense'}, ''),
    ({'init_from__path': 'MOVED'}, ''),
    ({'step__skip': [], 'step__outlier': 0.0}, ''),
    # What is computed.
    ({'data__sources__own__flip': 0.0}, r'own\.flip: 0\.5 there, 0\.0 now'),
    ({'model__backbone__dim': 9}, r'model\.backbone\.dim: 8 there'),
    ({'init_from__step': 4}, r'init_from\.step: 3 there, 4 now'),
    ({'step__skip': [7]}, r'step\.skip: \[\] there, \[7\] now'),
    ({'step__new': 1}, r'step\.new: absent there, 1 now'),
  ],
)
def test_a_run_is_what_it_computes(tmp_path, changes, refused):
  workdir.settle(str(tmp_path), RUN)
  (tmp_path / 'checkpoints/3').mkdir(parents=True)
  config = run_changed(**changes)
  if refused:
    with pytest.raises(ValueError, match=refused):
      workdir.settle(str(tmp_path), config)
  else:
    workdir.settle(str(tmp_path), config)
    assert not workdir.read_history(str(tmp_path))
    assert workdir.read_config(str(tmp_path)) == config


def test_parameters_that_are_no_longer_read_are_told_apart(tmp_path, capsys):
  workdir.settle(str(tmp_path), RUN)
  (tmp_path / 'checkpoints/3').mkdir(parents=True)
  workdir.settle(str(tmp_path), run_changed(init_from__path='MOVED'))
  said = capsys.readouterr().out
  assert 'init_from.path: OTHER there, MOVED now: it is not read again' in said


def test_other_data_at_the_same_place_are_refused(tmp_path):
  def settle(asked=workdir.GO_ON, **fingerprint):
    workdir.settle(str(tmp_path), RUN, asked=asked, fingerprint=fingerprint)

  settle(train={'own': 'a'})
  (tmp_path / 'checkpoints/3').mkdir(parents=True)
  settle(train={'own': 'a'}, test={'own': 'c'})
  settle()  # who does not know them
  message = r'fingerprint\.train\.own: a there, b now'
  with pytest.raises(ValueError, match=message):
    settle(train={'own': 'b'})
  for _ in range(2):  # as after a stop, by the same command
    settle(workdir.Asked(allow=['fingerprint']), train={'own': 'b'})
  settle(train={'own': 'b'})
  (entry,) = workdir.read_history(str(tmp_path))
  assert entry['changed'] == {'fingerprint.train.own': ['a', 'b']}
  message = r'fingerprint\.test\.own: c there, d now'
  with pytest.raises(ValueError, match=message):
    settle(test={'own': 'd'})


def test_checkpoints_without_a_config_are_of_no_run(tmp_path):
  begun(tmp_path, 10)
  (tmp_path / 'config.json').unlink()
  with pytest.raises(ValueError, match=r'\(\[10\]\) and no config\.json'):
    workdir.settle(str(tmp_path), BEGAN)


def steps(count, **optim):
  options = training(
    lr=2.0, warmup_fraction=0.2, every=1, log_every=1, health_every=0
  )
  return {'steps': count, 'optim': options['optim'] | optim}


def test_a_run_is_given_more_steps_with_a_word_on_its_rate(tmp_path):
  folder = str(tmp_path)

  def start(count, **asked):
    asked = workdir.Asked(**asked)
    config, asked = workdir.extended(folder, steps(count), asked)
    workdir.settle(folder, config, asked=asked)
    return [tuple(each) for each in config['optim']['extensions']]

  assert start(100) == []
  for step in (60, 100):
    saved(tmp_path, step)
  assert start(100) == []
  with pytest.raises(ValueError, match=r'from step 100 on: constant .* rewarm'):
    start(200, allow=['steps'])
  with pytest.raises(ValueError, match='--longer=same: with steps=200 from'):
    start(200, longer='same')
  with pytest.raises(ValueError, match=r"unknown --longer 'rewarn'.*'rewarm'"):
    start(200, longer='rewarn')
  first = (100, 100, 'rewarm')
  assert start(200, longer='rewarm') == [first]
  # The same command, and the one without the word, go on.
  assert start(200, longer='rewarm') == start(200) == [first]
  with pytest.raises(ValueError, match='steps: 200 there, 100 now'):
    start(100)
  second = (60, 200, 'constant')
  assert start(300, longer='constant', back_to=60) == [first, second]
  assert start(300, longer='constant', back_to=60) == [first, second]
  entries = workdir.read_history(folder)
  assert [each['step'] for each in entries] == [100, 60]
  assert entries[0]['changed']['steps'] == [100, 200]
  assert entries[0]['changed']['optim.extensions'] == [[], [list(first)]]


HOLDER = """
import sys
from base import files
from train import workdir
with workdir.claim(sys.argv[1], {'a': 1}):
  print('there', flush=True)
  sys.stdin.read()
"""


def test_a_folder_that_another_process_runs_in_is_refused(tmp_path):
  """Also with the same config: two runs would write one metrics file."""
  other = subprocess.Popen(
    [sys.executable, '-c', HOLDER, str(tmp_path)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  with other:
    assert other.stdout.readline() == 'there\n'
    who = f'process {other.pid} of {socket.gethostname()}'
    for config in ({'a': 1}, {'a': 2}):
      with (
        pytest.raises(ValueError, match=f'in use by {who}'),
        workdir.claim(str(tmp_path), config),
      ):
        pass
    other.stdin.close()
  with workdir.claim(str(tmp_path), {'a': 1}):
    pass


def test_a_claim_holds_until_its_end_and_may_be_made_again_inside(tmp_path):
  """A readout job claims its folder, and the training run in it does."""
  refused = [
    *(sys.executable, '-c', HOLDER, str(tmp_path)),
  ]
  with workdir.claim(str(tmp_path), {'a': 1}):
    with workdir.claim(str(tmp_path), {'a': 1}):
      pass
    done = subprocess.run(refused, capture_output=True, text=True)
    assert f'in use by process {os.getpid()} of' in done.stderr


def test_what_a_killed_run_was_writing_is_removed(tmp_path):
  draft = files.replacing(tmp_path / 'goodput.json')
  draft.__enter__().write_text('half')  # and here it is killed
  with workdir.claim(str(tmp_path), {'a': 1}):
    left = {each.name for each in tmp_path.iterdir()}
  assert left == {'claim', 'config.json'}
