from base import console


def test_a_table_is_aligned_under_its_names():
  lines = [{'size': 'S', 'loss': '0.25'}, {'size': 'tiny'}]
  assert console.table(lines) == 'size  loss\nS     0.25\ntiny'


def test_long_work_is_told_line_by_line_where_there_is_no_terminal(
  capsys, monkeypatch
):
  monkeypatch.setattr(console, '_BETWEEN_LINES', 0.0)
  with console.progress('features of train', 4, 'clip') as bar:
    for _ in range(2):
      bar.update(2)
  lines = capsys.readouterr().out.splitlines()
  assert [line.split(',')[0] for line in lines] == [
    'features of train: 2/4',
    'features of train: 4/4',
  ]
  assert all('clip/s' in line and 'left' in line for line in lines)


def test_short_work_is_quiet_where_there_is_no_terminal(capsys):
  with console.progress('features of train', 4, 'clip') as bar:
    bar.update(4)
  assert capsys.readouterr().out == ''


def test_only_one_process_speaks(capsys, monkeypatch):
  monkeypatch.setattr(console, '_muted', False)  # to be set back
  console.say('heard', '', 'too')
  console.mute()
  console.say('unheard')
  assert capsys.readouterr().out == 'heard  too\n'
