"""What can be installed is what the files say."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_comment_of_the_requirements_names_all_groups():
  groups = tomllib.loads((ROOT / 'pyproject.toml').read_text())
  head = (ROOT / 'requirements.txt').read_text().partition('\nabsl')[0]
  listed = re.search(r'pyproject\.toml:(.*)\.', head.replace('\n#', ''))[1]
  assert listed.replace(' ', '').split(',') == [*groups['dependency-groups']]
