"""What a plan says, by hand and by the command."""

import json
import os
import subprocess
import sys

import jax
import pytest

from configs import mae
from launch.plan import __main__ as plan
from launch.plan import compiled, figures, planning, topology
from launch.plan import page as plan_page
from launch.plan import text as plan_text


def config_of(**changes):
  config = mae.get_config('size=j')
  config.update_from_flattened_dict(changes)
  return config.to_dict()


@pytest.fixture(scope='module')
def found():
  return planning.plan(
    config_of(**{'mesh.replica': 8}),
    topology.parse('v5p:8x8x8'),
    shapes_only=True,
    assumed_mfu=0.5,
  )


def test_parameters_and_flops_of_j(found):
  # The backbone's published count, latents, and the head of 3072 pixels.
  assert found['parameters'] == 21_492_011_008 + 784 * 4096 + 4097 * 3072
  block = 4 * 4096**2 + 2 * 4096 * 32768
  encoder = 62 * 78 * (block + 2 * 78 * 4096)
  decoder = 2 * 862 * (block + 2 * 862 * 4096)
  head = 784 * 4096 * 3072
  embedding = 78 * 1536 * 4096
  step = 4096 * (6 * (encoder + decoder + head) + 4 * embedding)
  assert sum(found['flops_per_step'].values()) == pytest.approx(step)


def test_bytes_of_j(found):
  held = found['bytes_by_formula']
  # Matrices are split over 64; tables, vectors and biases are not.
  tables = (1568 + 784) * 4096
  expected = 4 * ((21.508e9 - tables) / 64 + tables)
  assert held['parameters'] == pytest.approx(expected, rel=0.02)
  assert held['optimizer'] == pytest.approx(2 * held['parameters'], rel=1e-6)
  assert held['batch'] == 8 * 16 * 224 * 224 * 3
  assert found['checkpoint_bytes'] == pytest.approx(3 * 4 * 21.508e9, rel=1e-3)


def test_days_of_j(found):
  (each,) = found['estimates'].values()
  flops = sum(found['flops_per_step'].values())
  seconds = flops / (0.5 * 512 * 459e12)
  assert each['step_sec'] == pytest.approx(seconds)
  assert each['mfu'] == pytest.approx(0.5)
  assert each['days'] == pytest.approx(500_000 * seconds / 86400)
  assert each['chip_hours'] == pytest.approx(512 * 24 * each['days'])
  assert each['frames_per_sec_per_host'] == pytest.approx(
    4096 / seconds * 16 / 128
  )


def test_the_text_says_that_a_plan_is_reduced(found):
  text = plan_text.report(found)
  assert 'reduced plan, nothing was compiled (--shapes_only)' in text
  assert 'parameters      21,507,' in text
  assert 'MFU 0.5 assumed' in text
  assert 'cores decode' not in text
  per_core = {**found, 'frames_per_sec_per_core': 1000.0}
  assert 'cores decode for a host' in plan_text.report(per_core)
  (each,) = found['estimates'].values()
  cores = f'<td>{each["frames_per_sec_per_host"] / 1000:.0f}</td>'
  assert cores in plan_page.page(per_core)
  assert cores not in plan_page.page(found)


def test_the_page_holds_the_figures_and_needs_no_other_file(found):
  page = plan_page.page({**found, 'topology': '<v5p>'})
  assert '21.5B parameters on &lt;v5p&gt;' in page
  assert 'MFU 0.5 assumed' in page
  assert f'{found["bytes_by_formula"]["total"] / 2**30:.3f}' in page
  assert 'nothing was compiled' in page
  assert '.tiles {' in page
  assert 'src=' not in page


def test_what_cannot_fit_is_refused_with_three_changes():
  with pytest.raises(planning.DoesNotFitError) as caught:
    planning.plan(
      config_of(**{'mesh.replica': 64}),
      topology.parse('v4:4x8x8'),
      shapes_only=True,
    )
  message = str(caught.value)
  assert 'of a chip of v4:4x8x8, which has 30.75 GiB' in message
  changes = message.partition('fit, predicted by formula:')[2].split('\n')[1:]
  assert len(changes) == 3
  for change in changes:
    assert change.strip().startswith('--')
    assert float(change.split()[-2]) <= 30.75


def test_what_the_compiler_refuses_is_told_with_its_buffers(monkeypatch):
  message = (
    'RESOURCE_EXHAUSTED: Used 20.50G of 15.75G hbm.\n'
    '  1. Size: 1.50G\n     Shape: f32[4096,98304]{1,0:T(8,128)}\n'
  )

  def refuse(*_):
    raise compiled.OutOfMemoryError(message)

  monkeypatch.setattr(topology, 'has_compiler', lambda: True)
  monkeypatch.setattr(compiled, 'compile_step', refuse)
  monkeypatch.setattr(topology.Topology, 'devices', lambda _: jax.devices())
  config = mae.get_config('size=B,batch_size=512').to_dict()
  with pytest.raises(planning.DoesNotFitError) as caught:
    planning.plan(config, topology.parse('v5e:2x4'))
  told = str(caught.value)
  assert 'needs 20.50 GiB of a chip of v5e:2x4, which has 15.75 GiB' in told
  assert 'says the compiler' in told
  assert '1.50G f32[4096,98304]' in told
  # What the formula misses is counted in its predictions.
  changes = told.partition('fit, predicted by formula:')[2].split('\n')[1:]
  assert len(changes) == 3
  assert changes[0].strip().startswith('--config.step.accumulate=2: ')
  predicted = float(changes[0].split()[-2])
  assert 20.5 / 2 < predicted < 15.75


@pytest.fixture
def whole(found):
  """A plan as of a program that was compiled."""
  estimate = {'matmul_sec': 0.4, 'kernel_sec': 0.1, 'other_sec': 0.1}
  estimate['exposed_sec'] = 0.02
  estimate |= figures.of_time(found, 0.62, 459.0)
  collective = {'kind': 'all-gather', 'axes': 'fsdp', 'group': 64}
  collective |= {'async': True, 'count': 3.0, 'bytes': 2.0**30, 'source': ''}
  collective |= {'shape': 'bf16[4]', 'seconds': 0.01, 'exposed_sec': 0.004}
  buffer = {'bytes': 2.0**31, 'is': 'temporary', 'shape': 'f32[8]'}
  return {
    **{key: value for key, value in found.items() if key != 'reduced'},
    'compile_sec': 70.0,
    'compiled_bytes': {'peak': 5 * 2**30, 'temporaries': 2**30},
    'warnings': ['a gradient is not scattered'],
    'collectives': [collective, {**collective, 'shape': 'bf16[8]'}],
    'largest_buffers': [{**buffer, 'what': 'attention/sub'}],
    'largest_costs': [{'what': 'mlp/dot_general', 'seconds': 0.4}],
    'estimates': {'roofline': estimate},
  }


def test_the_text_of_a_compiled_plan(whole):
  text = plan_text.report(whole)
  assert '5.00 by the compiler' in text
  assert 'warning         a gradient is not scattered' in text
  (line,) = [line for line in text.splitlines() if 'all-gather' in line]
  # Two shapes are summed: runs, GiB, ms, exposed ms.
  assert line.split()[2:] == ['fsdp', '64', '6', '2.000', '20.00', '8.00']
  assert '2.000 GiB temporary f32[8] attention/sub' in text
  assert '400.00 mlp/dot_general' in text
  assert 'exposed 20.0 ms' in text
  assert 'Estimates, not measurements' in text


def test_the_page_of_a_compiled_plan(whole):
  page = plan_page.page(whole)
  for text in ('bf16[8]', 'attention/sub', 'mlp/dot_general', '620 ms'):
    assert text in page
  assert 'a gradient is not scattered' in page


def test_a_layout_that_is_none_is_refused():
  with pytest.raises(ValueError, match=r'config\.mesh'):
    planning.plan(config_of(**{'mesh.replica': 7}), topology.parse('v5p:8x8x8'))


def test_without_a_compiler_the_plan_is_reduced(monkeypatch):
  monkeypatch.setattr(topology, 'has_compiler', lambda: False)
  found = planning.plan(
    config_of(**{'mesh.replica': 8}), topology.parse('v5p:8x8x8')
  )
  assert 'pip install --group tpu' in found['reduced']


def test_options_of_the_compiler():
  items = ['xla_a=True', 'xla_b=true', 'xla_c=3']
  config = config_of(**{'compile.options': {'xla_a': False, 'xla_z': '9'}})
  found = plan.with_options(config, items)
  expected = {'xla_a': True, 'xla_b': 'true', 'xla_c': '3', 'xla_z': '9'}
  assert found['compile'] == {'keep': False, 'options': expected}
  with pytest.raises(ValueError, match="'xla_d' must be NAME=VALUE"):
    plan.with_options(config, ['xla_d'])


def test_time_of_a_run():
  given = {'chips': 4, 'hosts': 2, 'flops_per_step': {'all': 8e12}}
  given |= {'batch_size': 6, 'frames': 10, 'steps': 3600}
  each = figures.of_time(given, step_sec=2.0, tflops=2.0)
  assert each['mfu'] == 0.5
  assert each['clips_per_sec'] == 3
  assert each['frames_per_sec_per_host'] == 15
  assert each['chip_hours'] == 8


def run(*arguments):
  # libtpu ends the process at options for CPUs that it does not know.
  environment = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
  return subprocess.run(
    [sys.executable, '-m', 'launch.plan', *arguments],
    capture_output=True,
    text=True,
    env=environment,
  )


def test_the_command_writes_what_it_says(tmp_path):
  path = tmp_path / 'plan.json'
  done = run(
    *('--config=configs/mae.py:size=j', '--config.mesh.replica=8'),
    *('--topology=v5p:8x8x8', '--shapes_only', f'--json={path}'),
  )
  assert not done.returncode, done.stderr
  written = json.loads(path.read_text())
  assert f'{written["parameters"]:,}' in done.stdout
  assert written['mesh'] == {
    **{'replica': 8, 'fsdp': 64, 'tensor': 1, 'sequence': 1}
  }


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--topology=v5p:8x8'], "--topology='v5p:8x8': expected v5p:4x4x4"),
    (
      ['--topology=v5e:8x8,v5e:8x16', '--executable=RUN'],
      '--executable=RUN is of one --topology',
    ),
    (
      ['--topology=v5e:8x8', '--bench=README.md'],
      '--bench=README.md must be what `python -m data.bench --json=README.md`',
    ),
    (
      ['--topology=v5e:8x8', '--same_per_chip'],
      '--same_per_chip compares several topologies, got v5e:8x8',
    ),
    (
      ['--topology=v5e:8x8', '--layouts'],
      '--layouts compares several topologies; of one, give it to the recipe: '
      '--config=configs/mae.py:size=...,topology=v5e:8x8',
    ),
    (
      ['--topology=v5e:8x8', '--search=2', '--shapes_only'],
      '--search compiles: leave out --shapes_only',
    ),
  ],
)
def test_the_command_refuses_in_one_line(arguments, message):
  done = run('--config=configs/mae.py:size=j', *arguments)
  assert done.returncode
  assert done.stderr.startswith(message)


@pytest.mark.slow
def test_a_small_size_compiles_for_a_slice(tpu_compiler):
  done = run(
    *('--config=configs/mae.py:size=S', '--topology=v5e:2x2'),
    '--config.data.batch_size=64',
  )
  assert not done.returncode, done.stderr
  assert 'compiled in' in done.stdout
  assert 'reduce-scatter' in done.stdout
  assert 'all-gather' in done.stdout
  assert 'reduced plan' not in done.stdout


@pytest.mark.slow
def test_a_search_writes_what_it_compiled(tpu_compiler, tmp_path):
  ranking, page = tmp_path / 'ranking.json', tmp_path / 'best.html'
  done = run(
    *('--config=configs/mae.py:size=S', '--topology=v5e:2x2', '--search=2'),
    *('--config.data.batch_size=64', f'--json={ranking}', f'--html={page}'),
  )
  assert not done.returncode, done.stderr
  best, other = json.loads(ranking.read_text())
  mfu, less = (each['estimates']['roofline']['mfu'] for each in (best, other))
  assert mfu >= less
  assert best['layout'] != other['layout']
  assert f'{mfu:.3f}' in page.read_text()
  assert f'{mfu:6.3f}' in done.stdout
