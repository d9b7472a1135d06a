"""Lists of videos with classes, as other code and other programs leave them."""

import pytest

from data.sources import kinetics

SIZE = {'frames': 4, 'height': 12, 'width': 16, 'stride': (2, 2)}
HEAD = 'label,youtube_id,time_start,time_end,split\n'


def made(folder, **options):
  options = {'keys': ('label',), **SIZE, **options}
  return kinetics.make('test', path=str(folder), **options)


@pytest.mark.parametrize(
  'lines',
  [
    'a.mp4 3\nb c.mp4 4\n\n',
    'a.mp4\t3\nb c.mp4\t4\n  \n',
    '\ufeffa.mp4 3\r\nb c.mp4   4\r\n',
    'a.mp4 3.0\nb c.mp4 4.\n',
  ],
)
def test_lists_as_editors_and_spreadsheets_leave_them(tmp_path, lines):
  for name in ('a.mp4', 'b c.mp4'):
    (tmp_path / name).touch()
  (tmp_path / 'val.csv').write_bytes(lines.encode())
  made = kinetics.make('test', path=str(tmp_path), keys=('label',), **SIZE)
  assert [file.name for file in made.files] == ['a.mp4', 'b c.mp4']
  assert made.labels.tolist() == [3, 4]


def test_lists_are_below_path_or_absolute(tmp_path):
  lists, folder = tmp_path / 'lists', tmp_path / 'data'
  lists.mkdir()
  (folder / 'videos').mkdir(parents=True)
  (folder / 'videos' / 'a.mp4').touch()
  (lists / 'mine.csv').write_text('a.mp4 1\n')
  (lists / 'names.txt').write_text('run\nwalk\n')
  found = made(
    folder,
    videos='videos',
    test=str(lists / 'mine.csv'),
    names=str(lists / 'names.txt'),
  )
  assert found.names == ('run', 'walk')
  assert len(found) == 1


@pytest.mark.parametrize('between', [',', '\t'])
def test_a_csv_with_a_byte_order_mark_tabs_and_blank_lines(tmp_path, between):
  rows = [
    ('label', 'youtube_id', 'time_start', 'time_end', 'split'),
    ('run', 'abc', '1', '11.0', 'val'),
    ('walk', 'abc', '30.0', '40', 'val'),
    ('', '', '', '', ''),
  ]
  text = '\ufeff' + '\r\n'.join(map(between.join, rows)) + '\r\n \r\n\r\n'
  (tmp_path / 'val.csv').write_bytes(text.encode())
  (tmp_path / 'names.txt').write_text('\ufeffrun\nwalk\n\n')
  for name in ('abc_000001_000011.mp4', 'abc_000030_000040.mp4'):
    (tmp_path / name).touch()
  made = kinetics.make(
    'test', path=str(tmp_path), names='names.txt', keys=('label',), **SIZE
  )
  assert made.labels.tolist() == [0, 1]
  assert made.names == ('run', 'walk')


@pytest.mark.parametrize(
  ('lines', 'said'),
  [
    ('b/frames 120 7\n', 'line 1 of .*a folder of frames, how many, and a cl'),
    ('../a.mp4 1\n', r"val\.csv names '\.\./a\.mp4', which is outside"),
    ('b/../a.mp4 1\n', r"val\.csv names 'b/\.\./a\.mp4', which is outside"),
    ('/a.mp4 1\n', r"val\.csv names '/a\.mp4', which is outside .*; mend"),
    (f'a.mp4 {"9" * 5000}\n', 'line 1 of .*of 6 digits at most'),
    (b'\xff\xfe 1\n', r'val\.csv is not text .*; copy it again'),
    ('{head}run,a\n', r'an entry of .*val\.csv is .*, expected label'),
    ('{head}run,a,1,1e999,val\n', "video 'a' in .*times that are no seconds"),
    ('{head}run,a,x,9,val\n', "video 'a' in .*times that are no seconds"),
    ('{head}run,%s,1,2,val\n' % ('x' * 2**18), r'val\.csv is not a csv'),
  ],
  ids=range(10),
)
def test_a_hostile_list_is_one_error(tmp_path, lines, said):
  head = 'label,youtube_id,time_start,time_end\n'
  data = lines if isinstance(lines, bytes) else lines.encode()
  data = data.replace(b'{head}', head.encode())
  (tmp_path / 'val.csv').write_bytes(data)
  (tmp_path / 'names.txt').write_text('run\n')
  with pytest.raises(ValueError, match=f'^kinetics: .*{said}'):
    kinetics.make(
      'test', path=str(tmp_path), names='names.txt', keys=('label',), **SIZE
    )


@pytest.mark.parametrize(
  'lines',
  [
    b'"b c.mp4" 4\n"a.mp4"\t3\n',
    b'b c.mp4,4\r\na.mp4, 3\r\n',
    b'"b c.mp4",4.0\na.mp4 ,3\n',
    'b c.mp4\t4\r\na.mp4\t3\r\n'.encode('utf-16'),
  ],
  ids=range(4),
)
def test_lists_as_writers_of_csv_leave_them(tmp_path, lines):
  """Quotes where there are spaces, commas, and what is called Unicode."""
  for name in ('a.mp4', 'b c.mp4'):
    (tmp_path / name).touch()
  (tmp_path / 'val.csv').write_bytes(lines)
  found = made(tmp_path)
  assert [file.name for file in found.files] == ['b c.mp4', 'a.mp4']
  assert found.labels.tolist() == [4, 3]


@pytest.mark.parametrize(
  'text',
  [
    '\n\n{head}run,abc,1,11,val\nwalk,def,1,11,val\n',
    '{quoted}"run","abc",1,11,"val"\n"walk","def",1,11,"val"\n',
    '{spaced}run , abc, 1, 11,val\n"walk",def ,1 ,11 ,val,9\n',
    '{other}run;abc;1;11;val\nwalk;def;1;11;val\n',
  ],
  ids=range(4),
)
def test_a_csv_as_other_writers_leave_it(tmp_path, text):
  text = text.format(
    head=HEAD,
    quoted='"' + HEAD.strip().replace(',', '","') + '"\n',
    spaced=HEAD.replace(',', ', '),
    other=HEAD.replace(',', ';'),
  )
  for name in ('train.csv', 'val.csv'):
    (tmp_path / name).write_text(text)
  for name in ('abc_000001_000011.mp4', 'def_000001_000011.mp4'):
    (tmp_path / name).touch()
  found = made(tmp_path)
  assert found.names == ('run', 'walk')
  assert found.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
  ('lines', 'said'),
  [
    ('a.mp4 1 2\n', r'line 1 of .*val\.csv has two numbers behind a path'),
    ('a.mp4 1,2\n', r'line 1 of .*val\.csv has two numbers behind a path'),
    ('abc,1,11,5\n', r'line 1 of .*val\.csv has two numbers behind a path'),
    ('b/x.y 10 1\n', r'line 1 of .*val\.csv lists a folder of frames, how'),
    ('a.mp4 1\nb 1\n', r'val\.csv lists the folder .*b: frames in folders'),
    ('\n', r'val\.csv lists no video: copy it again'),
    (HEAD, r'val\.csv lists no video: copy it again'),
    (HEAD + ',abc,1,11,val\n', r"an entry of .* is \['', 'abc', .*expected la"),
    ('youtube_id,time_start,time_end\n', r'val\.csv has no column label: a l'),
  ],
)
def test_other_lists_are_told(tmp_path, lines, said):
  (tmp_path / 'b' / 'x.y').mkdir(parents=True)
  for name in ('a.mp4', 'abc_000001_000011.mp4'):
    (tmp_path / name).touch()
  for name in ('train.csv', 'val.csv'):
    (tmp_path / name).write_text(lines)
  with pytest.raises(ValueError, match=f'^kinetics: .*{said}'):
    made(tmp_path)


def test_of_copies_the_first_by_name_is_read(tmp_path, monkeypatch):
  """Folders are gone through in any order, on each machine in another."""
  (tmp_path / 'val.csv').write_text(HEAD + 'run,abc,1,11,val\n')
  (tmp_path / 'names.txt').write_text('run\n')
  copies = [tmp_path / name / 'abc_000001_000011.mp4' for name in 'acb']
  for file in copies:
    file.parent.mkdir()
    file.touch()
  for order in (copies, copies[::-1]):
    monkeypatch.setattr(kinetics.remote, 'files_below', lambda _, o=order: o)
    assert made(tmp_path, names='names.txt').files == (copies[0],)


@pytest.mark.parametrize(
  ('names', 'said'),
  [
    ('run\n\nwalk\n', r'line 2 of .*names\.txt is blank, and the number'),
    ('\nrun\nwalk\n', r'line 1 of .*names\.txt is blank, and the number'),
    ('run\nwalk\n run\n', r"line 3 of .*names\.txt is 'run' again"),
    ('run\n', r'line 1 of .* has class 1, and names= tells 1, from 0 on'),
  ],
)
def test_names_count_classes(tmp_path, names, said):
  (tmp_path / 'a.mp4').touch()
  (tmp_path / 'val.csv').write_text('a.mp4 1\n')
  (tmp_path / 'names.txt').write_text('run \n\twalk\r\n\n')
  found = made(tmp_path, names='names.txt')
  assert (found.names, found.classes) == (('run', 'walk'), 2)
  (tmp_path / 'names.txt').write_text(names)
  with pytest.raises(ValueError, match=said):
    made(tmp_path, names='names.txt')
