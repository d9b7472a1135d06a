"""Flags of the planner."""

import pytest

from launch.plan import flags


def test_options_of_the_compiler(config_of):
  items = ['xla_a=True', 'xla_b=true', 'xla_c=3']
  config = config_of(**{'compile.options': {'xla_a': False, 'xla_z': '9'}})
  found = flags.with_options(config, items)
  expected = {'xla_a': True, 'xla_b': 'true', 'xla_c': '3', 'xla_z': '9'}
  assert found['compile'] == {'keep': True, 'options': expected}
  with pytest.raises(ValueError, match="'xla_d' must be NAME=VALUE"):
    flags.with_options(config, ['xla_d'])
