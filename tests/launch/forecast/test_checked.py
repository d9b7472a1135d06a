"""A job is planned before anything is started."""

import json
import subprocess
import types

import pytest

from configs import mae
from launch import forecast, job
from launch.forecast import checked
from tests import commands


def job_of(*words, module='train'):
  words = ('python', '-m', module, *words, '--workdir=gs://bucket/run')
  return job.parse(words, one_disk=False)


@pytest.fixture(autouse=True)
def quick_to_start(monkeypatch):
  """The planner's process is forked from one that has imported."""

  def run(words, *, env, **pipes):
    del pipes
    return commands.run(*words[2:], env=env)

  quick = types.SimpleNamespace(run=run, DEVNULL=subprocess.DEVNULL)
  monkeypatch.setattr(checked, 'subprocess', quick)


B = '--config=configs/mae.py:size=B,batch_size=512'


def test_shapes_tell_time_and_memory_and_that_they_are_all():
  small = [B, '--config.steps', '20000', '--config.data.batch_size=256']
  found = forecast.check(job_of(*small), 'v5e:4x4', how='shapes')
  two = job_of(B, '--config.mesh.replica=2')
  twice = forecast.check(two, 'v5e:4x4', slices=2, how='shapes')
  assert (found.topology, found.chips) == ('v5e:4x4', 16)
  assert (twice.topology, twice.chips) == ('2xv5e:4x4', 32)
  # Twice the clips on twice the chips.
  assert found.step_sec == pytest.approx(twice.step_sec, rel=1e-6)
  assert found.days == pytest.approx(20_000 * found.step_sec / 86400)
  assert found.chip_hours == pytest.approx(16 * 24 * found.days)
  assert 5e8 < found.bytes_per_chip < found.bytes_limit == 15.75 * 2**30
  lines = str(found).splitlines()
  assert len(lines) == 3
  assert 'v5e:4x4, 16 chips: step' in lines[0]
  assert 'of 15.75 GiB a chip' in lines[1]
  assert 'nothing was compiled (--shapes_only)' in lines[2]


def test_a_chip_of_two_devices_counts_once():
  v5p = forecast.check(job_of(B), 'v5p:2x2x1', how='shapes')
  tpu7x = forecast.check(job_of(B), 'tpu7x:2x2x1', how='shapes')
  assert tpu7x.chips == v5p.chips == 4
  assert v5p.step_sec / tpu7x.step_sec == pytest.approx(2307 / 459)
  assert tpu7x.bytes_limit == pytest.approx(189.48 * 2**30)
  assert tpu7x.mfu == pytest.approx(0.4)


@pytest.mark.parametrize(
  ('words', 'topology', 'message'),
  [
    (
      ['--config=configs/mae.py:size=L'],
      'v5e:1x1',
      'the step needs',
    ),
    ([B, '--config.mesh.tensor=5'], 'v5e:4x4', 'multiple of 5 devices, got 16'),
    ([B, '--config.step.acumulate=2'], 'v5e:4x4', "did you mean 'accumulate'"),
    ([B], 'v5e:4x5', 'take v5e:4x4, the nearest'),
    ([B], 'v9:4x4', "no chip 'v9'; expected one of v4"),
    (
      ['--config=configs/mae.py:size=B,topology=v6e:4x4'],
      'v5e:4x4',
      'laid out',
    ),
  ],
)
def test_what_cannot_work_is_refused(words, topology, message):
  with pytest.raises(ValueError, match=message) as refused:
    forecast.check(job_of(*words), topology, how='shapes')
  assert '\n' not in str(refused.value)
  assert 'shows where' not in str(refused.value)


def test_what_would_help_is_said(capsys):
  with pytest.raises(ValueError, match='of a chip of v5e:1x1, which has'):
    forecast.check(
      job_of('--config=configs/mae.py:size=L'), 'v5e:1x1', how='shapes'
    )
  assert 'each of these would make it fit' in capsys.readouterr().out


def test_a_fault_of_the_plan_is_told_from_wrong_input(tmp_path):
  broken = tmp_path / 'broken.py'
  broken.write_text('def get_config():\n  return 1 / 0\n')
  with pytest.raises(
    ValueError, match=r'failed \(exit code 70\): .*--plan=none'
  ):
    forecast.check(job_of(f'--config={broken}'), 'v5e:4x4', how='shapes')


@pytest.mark.parametrize(
  ('given', 'topology', 'how', 'why'),
  [
    (job_of(B), 'v5e:4x4', 'none', 'skipped by --plan=none'),
    (job_of(B), '', 'compile', 'only of slices of TPUs'),
    (job_of(module='data.ingest'), 'v5e:4x4', 'shapes', 'only of `python -m'),
    (
      job_of(B, '--checkpoint=/no/such/run', module='evals'),
      *('v5e:4x4', 'shapes'),
      '--checkpoint=/no/such/run is not on this machine',
    ),
    (
      job_of(
        '--config=configs/readout.py:task=depth,data=movi,data.path=/no/such',
        *('--checkpoint=gs://bucket/run',),
        module='evals',
      ),
      *('v5e:4x4', 'shapes'),
      'data.path=/no/such is not on this machine',
    ),
  ],
)
def test_where_there_is_none_it_says_why(given, topology, how, why):
  found = forecast.check(given, topology, how=how)
  assert str(found).startswith(f'no forecast: {why}')
  assert forecast.beside(2.0, found).startswith('step 2.00 s measured; no fore')


def test_readouts_are_planned_from_the_run_they_read(tmp_path):
  config = mae.get_config('size=S').to_dict()
  (tmp_path / 'config.json').write_text(json.dumps(config))
  recipe = '--config=configs/readout.py:task=depth,data=world,lr=1e-3'
  given = job_of(recipe, f'--checkpoint={tmp_path}', module='evals')
  found = forecast.check(given, 'v5e:2x2', how='shapes')
  assert found.chips == 4
  assert found.step_sec > 0


@pytest.mark.slow
def test_the_compiler_refuses_what_it_does_not_know(tpu_compiler):
  """And its figures are of the compiled step."""
  small = ['--config=configs/mae.py:size=S', '--config.data.batch_size=64']
  found = forecast.check(job_of(*small), 'v5e:2x2')
  assert found.how.startswith("the TPU's compiler")
  assert 0 < found.bytes_per_chip < found.bytes_limit
  options = "--config.compile.options={'xla_tpu_no_such_option': True}"
  with pytest.raises(ValueError, match='the compiler refuses an option'):
    forecast.check(job_of(*small, options), 'v5e:2x2')
