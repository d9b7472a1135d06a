import re
import shutil

import cv2
import numpy as np
import pytest

from data import contact_sheet, source
from data.formats import shards
from data.ingest.folder import ingest
from data.ingest.recipe import Recipe
from data.inspect import records
from data.sources.world import source as world


@pytest.fixture(scope='module')
def folder(footage, tmp_path_factory):
  out = tmp_path_factory.mktemp('inspect') / 'data'
  ingest(str(footage), out, Recipe(), workers=0)
  return out


def test_says_what_a_folder_holds_and_draws_it(folder, tmp_path, capsys):
  picture = tmp_path / 'sheet.png'
  found = records.inspect(str(folder), 'train', 0, picture)
  assert (found['checked'], found['bad']) == (3, [])
  text = capsys.readouterr().out
  for part in ('3 videos, 3 records', '3 files refused', '1 x empty file'):
    assert part in text
  drawn = cv2.imread(str(picture))
  assert drawn.shape == (3 * (96 + 16), 8 * 128, 3)
  # The last row is a video that becomes brighter.
  assert drawn[-96:, -128:].mean() > drawn[-96:, :128].mean() + 50


def test_finds_bad_records(folder, tmp_path):
  copy = tmp_path / 'data'
  shutil.copytree(folder, copy)
  file = copy / shards.shard_name(0)
  data = bytearray(file.read_bytes())
  data[data.index(b'4DV1') + 500] ^= 1
  file.write_bytes(data)
  found = records.inspect(str(copy), 'train', 0, None)
  assert found['checked'] == 3
  assert len(found['bad']) == 1
  assert found['picture'] == copy / 'contact.png'


def test_says_what_a_source_holds_and_draws_its_labels(tmp_path, capsys):
  picture = tmp_path / 'sheet.png'
  options = 'frames=4,height=24,width=32,clips=5,points=9,seed=2'
  found = records.inspect(f'world:{options}', '', 2, picture)
  assert (found['checked'], found['bad']) == (3 * 2, [])
  text = capsys.readouterr().out
  for part in (
    'train: 5 records',
    'test: 256 records',
    'tracks: float32 [9, 4, 2]',
    'label: int32 []',
    '6 records read, 0 faults',
  ):
    assert part in text
  assert text.count('video: uint8 [4, 24, 32, 3]') == 1
  # Of four of the records video, depth and segmentation.
  drawn = cv2.imread(str(picture))
  assert drawn.shape[0] == 12 * (96 + 16)
  plain = world.make(
    'train',
    keys=('video', 'depth'),
    frames=4,
    height=24,
    width=32,
    clips=5,
    seed=2,
  )
  video = plain.read(0)['video'][0].repeat(4, 0).repeat(4, 1)
  shown = drawn[16 : 16 + 96, :128, ::-1]
  differs = (shown != video).any(-1)
  assert 0.01 < differs.mean() < 0.6


@pytest.mark.parametrize('count', [30, 140])
def test_the_sheet_shows_the_last_records_too(count, tmp_path, monkeypatch):
  shown = []

  def captions(rows):
    shown.extend(int(caption.split()[1]) for caption, _ in rows)
    return np.zeros((2, 3, 3), np.uint8)

  monkeypatch.setattr(contact_sheet, 'captioned', captions)
  options = f'frames=2,height=4,width=6,keys=video,test_clips={count}'
  records.inspect(f'world:{options}', 'test', 0, tmp_path / 'sheet.png')
  assert len(shown) == 12
  gaps = np.diff([0, *shown, count - 1])
  assert max(gaps) <= 2 * count / 11


def test_a_start_that_was_left_out_is_no_refusal(film, tmp_path, capsys):
  (tmp_path / 'in').mkdir()
  film.write_bad_start(tmp_path / 'in' / 'a.mp4')
  (tmp_path / 'in' / 'b.mp4').touch()
  ingest(str(tmp_path / 'in'), tmp_path / 'data', Recipe(), workers=0)
  text = records.describe(tmp_path / 'data')
  assert '1 file refused\n    1 x empty file\n' in text
  assert '0.8 s of 1 file left out: damaged or missing' in text
  assert '1 video with damaged stretches' in text


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('', 'has 0 lines, expected 3'),
    ('{"file": "a", "reason": "b"}\n{"fi', 'has 1 lines, expected 3'),
    ('{"file": 3, "reason": "b"}\n', 'file holds a int'),
    ('{"file": "a"}\n', 'lacks reason'),
    ('\n', 'is empty'),
  ],
)
def test_a_damaged_quarantine_is_told(folder, tmp_path, text, said):
  copy = tmp_path / 'data'
  shutil.copytree(folder, copy)
  (copy / shards.QUARANTINE).write_text(text)
  with pytest.raises(ValueError, match=rf'{shards.QUARANTINE}.* {said}.*copy'):
    records.describe(copy)


def test_captions_name_classes():
  record = {'video': np.zeros((2, 8, 12, 3), np.uint8), 'label': np.array(1)}
  ((caption, _),) = contact_sheet.rows_of('test 0', record, ('push', 'pull'))
  assert caption == 'test 0 label 1, pull'
  ((caption, _),) = contact_sheet.rows_of('test 0', record, ('push',))
  assert caption == 'test 0 label 1'


def test_keys_can_be_chosen(tmp_path, capsys):
  options = 'frames=4,height=24,width=32,keys=video+pose,antialias=false'
  records.inspect(f'world:{options}', 'test', 1, tmp_path / 'sheet.png')
  text = capsys.readouterr().out
  assert 'pose: float32 [4, 4, 4]' in text
  assert 'depth' not in text


def test_says_which_splits_a_source_lacks_and_what_it_left_out(
  film, tmp_path, capsys
):
  film.write(tmp_path / 'a.mp4', film.greys(9))
  (tmp_path / 'broken.mp4').write_bytes(b'nothing')
  (tmp_path / 'val.csv').write_text('a.mp4 1\nbroken.mp4 0\ngone.mp4 0\n')
  options = (
    f'path={tmp_path},frames=4,height=24,width=32,stride=1+2,validation=val.csv'
  )
  found = records.inspect(f'kinetics:{options}', '', 0, tmp_path / 'sheet.png')
  assert found['checked'] == 4
  assert len(found['bad']) == 2
  assert 'validation 1: ' in found['bad'][0]
  assert 'broken.mp4' in found['bad'][0]
  text = capsys.readouterr().out
  assert 'train: none (' in text
  assert 'left out: 1 x video not in' in text


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('world:frame=8', "unknown option 'frame'.*did you mean 'frames'"),
    ('world:frames', 'write frames=VALUE'),
    ('world:frames=x', "frames='x' must be of type int"),
    ('world:antialias=1', "'true' or 'false'"),
    ('world:keys=video+sound', 'sound'),
    ('mixture', "unknown data source 'mixture'"),
    ('no/such.mp4', r'^no/such\.mp4: there is no such file or folder: '),
    ('nothing.mp4', r'^nothing\.mp4: there is no such file or folder: '),
    ('tapvid', r'^tapvid: tapvid needs more: write tapvid:path=PATH$'),
    (
      'tfds:stride=1+2',
      'tfds needs more: write tfds:path=PATH or tfds:dataset=DATASET',
    ),
    (
      'docs',
      r'docs has no manifest\.json: .* name its source, as SOURCE:path=',
    ),
    ('kinetics:path=/nowhere', 'kinetics has none of train, validation, test'),
  ],
)
def test_mistakes_are_told(text, message, tmp_path):
  with pytest.raises(ValueError, match=message):
    records.inspect(text, '', 1, tmp_path / 'sheet.png')


def test_a_folder_of_another_data_set_is_told_of_its_source(tmp_path):
  with pytest.raises(
    ValueError, match=r'has no manifest\.json: .*its source, as SOURCE:path='
  ):
    records.inspect(str(tmp_path), '', 1, tmp_path / 'sheet.png')


@pytest.mark.parametrize('name', ['nowhere/a.png', 'a.xyz', 'a'])
def test_a_picture_that_cannot_be_written_is_told_first(name, tmp_path):
  data = 'world:frames=2,height=8,width=12'
  with pytest.raises(ValueError, match=r'--out=.* must be a picture in a fold'):
    records.inspect(data, 'test', 1, tmp_path / name)


@pytest.mark.parametrize(
  ('source', 'name'),
  [
    ('perception_test', 'all_train.json'),
    ('ssv2', 'labels.json'),
    ('ssv2', 'train.json'),
    ('movi', 'dataset_info.json'),
    ('videos', 'manifest.json'),
  ],
)
def test_damaged_json_is_told_with_its_name(source, name, tmp_path):
  (tmp_path / 'labels.json').write_text('{"Push": "0"}')
  for text, message in (
    ('{"a": 1', 'is not JSON'),
    ('3', 'holds a int'),
  ):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf'{name} {message}'):
      records.inspect(f'{source}:path={tmp_path}', 'train', 1, None)


@pytest.mark.parametrize(
  ('source', 'name', 'text', 'said'),
  [
    ('movi', 'dataset_info.json', '{"splits": 3}', 'splits holds a int'),
    ('movi', 'dataset_info.json', '{"splits": [[]]}', 'splits: 0 holds a list'),
    (
      *('movi', 'dataset_info.json', '{"splits": [{"name": "train"}]}'),
      "split 'train' lacks shardLengths",
    ),
    (
      *('movi', 'dataset_info.json'),
      '{"splits": [{"name": "train", "shardLengths": ["x"]}]}',
      'has lengths of shards that are no numbers',
    ),
    ('ssv2', 'labels.json', '{"Push": "one"}', 'has classes without a number'),
    ('ssv2', 'labels.json', '{"Push": []}', 'has classes without a number'),
    ('ssv2', 'train.json', '["a"]', ': 0 holds a str'),
    ('ssv2', 'train.json', '[{"template": "Push"}]', 'lacks id'),
    ('perception_test', 'all_train.json', '{"video_1": 3}', 'not as published'),
  ],
)
def test_json_of_another_shape_is_told(source, name, text, said, tmp_path):
  (tmp_path / 'labels.json').write_text('{"Push": "0"}')
  (tmp_path / name).write_text(text)
  with pytest.raises(ValueError, match=rf'{name}.*{said}'):
    records.inspect(f'{source}:path={tmp_path}', 'train', 1, None)


def test_the_sources_are_listed_with_the_command_to_look_at_one():
  said = records.sources()
  for text in (
    'world: The built-in 4D world: solids in a room, drawn here',
    '  python -m data.inspect world\n',
    'tapvid: TAP-Vid: point tracks of DAVIS',
    '  python -m data.inspect tapvid:path=PATH\n',
    '  python -m data.inspect tfds:path=PATH\n',
    '  python -m data.inspect tfds:dataset=DATASET\n',
  ):
    assert text in said
  # It cannot be looked at.
  assert 'features:' not in said
  with pytest.raises(
    ValueError, match='features cannot be looked at by itself'
  ):
    records.inspect('features:path=a,source=world', 'test', 1, None)


def test_each_command_that_is_listed_has_all_options():
  for words in re.findall(r'python -m data\.inspect (\S+)', records.sources()):
    name, options = records.parse(words)
    one_of = source.needs_one_of(name)
    assert {*source.needed(name)} <= options.keys()
    assert not one_of or {*one_of} & options.keys()


def test_why_there_is_no_split_is_said_once(tmp_path, capsys):
  with pytest.raises(ValueError, match=r'movi has none of train, .*: /nowh'):
    records.inspect('movi:path=/nowhere', '', 1, None)
  assert 'none' not in capsys.readouterr().out
  with pytest.raises(ValueError, match=r'world has none of foo: .*test$'):
    records.inspect('world', 'foo', 1, None)
  assert 'none' not in capsys.readouterr().out
  with pytest.raises(ValueError, match=r'none of .*no folder with \*\.pkl'):
    records.inspect(f'tapvid:path={tmp_path}', '', 1, None)
  said = capsys.readouterr().out
  assert said.count('has only the split') == 2
  assert 'no folder' not in said


def test_a_path_of_a_store_is_no_source(bucket):
  for text, error, said in (
    (f'{bucket}/v/a.mov', ValueError, '^gs://.*: there is no such file or'),
    (
      'gs://nobucket/DATA',
      FileNotFoundError,
      '^gs://nobucket/DATA: there is no such b',
    ),
  ):
    with pytest.raises(error, match=said):
      records.inspect(text, '', 1, None)
    with pytest.raises(ValueError, match=f'^{text} is a path, expected a so'):
      records.parse(text)


def test_videos_shorter_than_the_clip_are_counted(film, tmp_path, capsys):
  for name, frames in (('a', 3), ('b', 9), ('c', 6)):
    film.write(tmp_path / f'{name}.mp4', film.greys(frames))
  (tmp_path / 'val.csv').write_text('a.mp4 1\nb.mp4 0\nc.mp4 0\n')
  options = f'path={tmp_path},frames=4,height=24,width=32,stride=2+2'
  records.inspect(f'kinetics:{options}', 'test', 0, tmp_path / 'sheet.png')
  said = capsys.readouterr().out
  assert 'short: 2 records of 3, whose last frame is repeated' in said
  options = options.replace('2+2', '1+2')
  records.inspect(f'kinetics:{options}', 'test', 0, tmp_path / 'sheet.png')
  assert 'short: 1 record of 3' in capsys.readouterr().out


def test_other_names_are_errors():
  with pytest.raises(ValueError, match='nothing'):
    records.inspect('nothing', 'train', 1, None)
