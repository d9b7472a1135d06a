import json

import jax
import pytest

from train import progress


def test_seconds_add_up_over_the_starts_of_a_run(tmp_path):
  for _ in range(2):
    clock = progress.Clock(imports=2.0)
    clock.save(str(tmp_path))
    clock.seconds['step'] = 1.5
    clock.save(str(tmp_path))
  saved = json.loads((tmp_path / 'goodput.json').read_text())
  assert saved == {'imports': 4.0, 'step': 3.0}


def test_only_the_first_process_writes_seconds(tmp_path, monkeypatch):
  """Each would add its own, and in containers their pids are alike."""
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  progress.Clock(imports=2.0).save(str(tmp_path))
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('content', ['', '{"step": 1', '[1]', '{"step": "a"}'])
def test_damaged_seconds_begin_anew_and_that_is_said(tmp_path, capsys, content):
  (tmp_path / 'goodput.json').write_text(content)
  progress.Clock(imports=2.0).save(str(tmp_path))
  assert 'goodput.json' in capsys.readouterr().out
  saved = json.loads((tmp_path / 'goodput.json').read_text())
  assert saved == {'imports': 2.0}
