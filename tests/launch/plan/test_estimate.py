"""The figures of a plan, by hand."""

import pytest

from launch.plan import compiler, estimate, topology


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


def test_a_layout_that_is_none_is_refused(config_of):
  with pytest.raises(ValueError, match=r'config\.mesh'):
    estimate.plan(config_of(**{'mesh.replica': 7}), topology.parse('v5p:8x8x8'))


def test_without_a_compiler_the_plan_is_reduced(config_of, monkeypatch):
  monkeypatch.setattr(compiler, 'is_installed', lambda: False)
  found = estimate.plan(
    config_of(**{'mesh.replica': 8}), topology.parse('v5p:8x8x8')
  )
  assert 'pip install --group tpu' in found['reduced']


def test_time_of_a_run():
  given = {'chips': 4, 'hosts': 2, 'flops_per_step': {'all': 8e12}}
  given |= {'batch_size': 6, 'frames': 10, 'steps': 3600}
  each = estimate.of_time(given, step_sec=2.0, tflops=2.0)
  assert each['mfu'] == 0.5
  assert each['clips_per_sec'] == 3
  assert each['frames_per_sec_per_host'] == 15
  assert each['chip_hours'] == 8
