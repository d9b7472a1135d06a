"""A plan is told whole, as text and as a page."""

import pytest

from launch.plan import estimate
from launch.plan.report import page as plan_page
from launch.plan.report import text as plan_text


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


@pytest.fixture
def whole(found):
  """A plan as of a program that was compiled."""
  seconds = {'matmul_sec': 0.4, 'kernel_sec': 0.1, 'other_sec': 0.1}
  seconds['exposed_sec'] = 0.02
  seconds |= estimate.of_time(found, 0.62, 459.0)
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
    'estimates': {'roofline': seconds},
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
