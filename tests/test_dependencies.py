"""What can be installed is what the files say."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def test_the_comment_of_the_requirements_names_all_groups():
  groups = tomllib.loads((ROOT / 'pyproject.toml').read_text())
  head = (ROOT / 'requirements.txt').read_text().partition('\nabsl')[0]
  listed = re.search(r'pyproject\.toml:(.*)\.', head.replace('\n#', ''))[1]
  assert listed.replace(' ', '').split(',') == [*groups['dependency-groups']]


def test_the_lock_has_an_exact_version_of_all_that_is_installed():
  lines = (ROOT / 'requirements.lock').read_text().splitlines()
  locked = dict(line.split('==') for line in lines if not line.startswith('#'))
  locked = {canonicalize_name(name): locked[name] for name in locked}
  groups = tomllib.loads((ROOT / 'pyproject.toml').read_text())
  groups = groups['dependency-groups']
  wanted = (ROOT / 'requirements.txt').read_text().splitlines()
  for each in groups['dev']:
    found = groups[each['include-group']] if isinstance(each, dict) else [each]
    wanted += found
  wanted = [Requirement(x) for x in wanted if x and not x.startswith('#')]
  assert len(wanted) > 30
  for each in wanted:
    version = locked[canonicalize_name(each.name)]
    assert each.specifier.contains(version), each
