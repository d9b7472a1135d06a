"""Small files: what is damaged names itself."""

import pytest

from base import files


def test_what_is_read_of_a_file_must_be_there():
  kinds = {'seed': int, 'data.sources': dict, 'step': (int, type(None))}
  found = {'seed': 3, 'data': {'sources': {}}, 'step': None}
  files.check_keys(found, kinds, 'RUN/config.json', 'copy it again')
  for changed, match in (
    (
      {'data': {}},
      r"RUN/config\.json lacks 'data\.sources': .*; copy it again",
    ),
    ({'data': 'world'}, r"lacks 'data\.sources'"),
    ({'data': {'sources': ['a']}}, r"holds \['a'\] as 'data\.sources'"),
    ({'step': '7'}, r"holds '7' as 'step'"),
  ):
    with pytest.raises(ValueError, match=match):
      files.check_keys(
        found | changed, kinds, 'RUN/config.json', 'copy it again'
      )
