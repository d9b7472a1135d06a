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


def test_lines_that_change_are_drawn_in_place_on_a_terminal(
  capsys, monkeypatch
):
  monkeypatch.setenv('COLUMNS', '20')
  monkeypatch.setattr('sys.stdout.isatty', lambda: True, raising=False)
  board = console.Board()
  board.show('1 of 2', ['run a', 'x' * 30])
  board.show('2 of 2', ['run b'])
  console.say('above')
  board.close()
  out = capsys.readouterr().out
  assert 'above\n' in out
  assert '2 of 2' in out.partition('run a')[2]
  assert '\x1b[A' in out  # up, to the first of them
  assert 'x' * 20 not in out  # a longer line would take two


def test_where_there_is_no_terminal_their_first_is_told_now_and_then(
  capsys, monkeypatch
):
  monkeypatch.setattr(console, '_BETWEEN_LINES', 0.0)
  board = console.Board()
  for first in ('1 of 2', '1 of 2', '2 of 2'):
    board.show(first, ['run a'])
  board.close()
  assert capsys.readouterr().out == '1 of 2\n2 of 2\n'


def test_durations_are_of_two_units():
  said = [console.duration(x) for x in (12.4, 59.6, 2e2, 3599.0, 3.6e3, 3.72e3)]
  assert said == ['12s', '1m00s', '3m20s', '59m59s', '1h00m', '1h02m']
