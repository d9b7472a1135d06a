"""Files of JSON: what is expected is given, damage names itself."""

import pytest

from base import files, jsons

KIND = {'count': jsons.Count, 'parts': [{'name': str, 'share': float}]}


def test_what_is_as_expected_is_given(tmp_path):
  file = tmp_path / 'a.json'
  files.write(
    file, '{"count": 2, "parts": [{"name": "x", "share": 1}], "b": 0}'
  )
  found = jsons.read(file, KIND, 'copy it again')
  assert found == {
    'count': 2,
    'parts': [{'name': 'x', 'share': 1}],
    'b': 0,
  }


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('', r'a\.json is empty'),
    ('{"count": 2, "par', r'a\.json is not JSON'),
    (b'\xff\x00', r'a\.json is not JSON'),
    ('[' * 10**5, r'a\.json is not JSON'),
    ('[]', r'a\.json holds a list, expected a dict'),
    ('{"count": 2}', r'a\.json lacks parts'),
    ('{"count": "2", "parts": []}', r'count holds a str, expected a int'),
    ('{"count": true, "parts": []}', r'count holds a bool, expected a int'),
    (
      '{"count": 1%s, "parts": []}' % ('0' * 400),
      'count holds a number of more',
    ),
    (
      '{"count": 2, "parts": [{"name": "x", "share": 1%s}]}' % ('0' * 400),
      'share holds a number of more than 64 bits',
    ),
    ('{"count": -1, "parts": []}', r'count is -1, expected 0 or more'),
    ('{"count": 2, "parts": {}}', r'parts holds a dict, expected a list'),
    ('{"count": 2, "parts": [null]}', r'parts: 0 holds a NoneType'),
    (
      '{"count": 2, "parts": [{"name": "x", "share": 1}, {"name": "y"}]}',
      r'a\.json: parts: 1 lacks share',
    ),
  ],
)
def test_damage_is_told_with_its_place_and_the_remedy(text, said, tmp_path):
  file = tmp_path / 'a.json'
  files.write(file, text)
  with pytest.raises(ValueError, match=rf'{said}.*; copy it again'):
    jsons.read(file, KIND, 'copy it again')


def test_a_text_of_brackets_without_end_is_no_json():
  with pytest.raises(ValueError, match='brackets without end'):
    jsons.parse('{"a":' * 10**5)


def test_lines_are_read_up_to_one_that_was_not_finished(tmp_path):
  file = tmp_path / 'a.jsonl'
  file.write_text('{"a": 1}\n{"a": 2}\n{"a": ')
  assert jsons.read_lines(file, {'a': int}, '') == [{'a': 1}, {'a': 2}]
  file.write_text('{"a": 1}\n{"b": 2}\n')
  with pytest.raises(ValueError, match=r'line 2 of .*a\.jsonl lacks a.*; mend'):
    jsons.read_lines(file, {'a': int}, 'mend it')
