"""A folder's results are of one thing, and what differs is named."""

import json

import pytest

from evals import made_of

MADE = {'model': {'dim': 8, 'patch': (2, 8)}, 'step': 3}


def test_the_same_goes_on_and_another_is_named(tmp_path):
  out = str(tmp_path)
  made_of.claim(out, 'note.json', 'features', MADE)
  made_of.claim(out, 'note.json', 'features', MADE)
  assert json.loads((tmp_path / 'note.json').read_text())['step'] == 3
  other = {'model': {'dim': 16, 'patch': (2, 8)}, 'step': 3, 'as': {'x': 1}}
  with pytest.raises(ValueError, match='holds features of another') as raised:
    made_of.claim(out, 'note.json', 'features', other)
  assert 'as.x: absent there, 1 here; model.dim: 8 there, 16 here' in str(
    raised.value
  )
  # What was there stays, and so does its note.
  made_of.claim(out, 'note.json', 'features', MADE)


def test_a_damaged_note_is_named(tmp_path):
  (tmp_path / 'note.json').write_text('{')
  with pytest.raises(ValueError, match=r'note\.json .*choose another folder'):
    made_of.claim(str(tmp_path), 'note.json', 'features', MADE)
