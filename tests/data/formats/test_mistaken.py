"""What is said of a folder that is not one of data.ingest."""

import pytest

from base import files
from data import remote
from data.formats import shards
from data.inspect import records

VIDEOS = r"holds videos \(a\.MP4\): .*--videos='{}/\*\*' --out=DATA"
PICTURES = r'holds pictures \(.*\.jpg\): make a video of each sequence'
TFDS = r'{}/x/1\.0\.0 is of TensorFlow Datasets: .*data\.path={}/x/1\.0\.0 '
BELOW = r'{}/out below it was made by data\.ingest: give that'
UNKNOWN = r'has no manifest\.json: (it was not ingested|data.ingest did not wr)'
# Names of files -> what is said of their folder, 'F'.
FOLDERS = {
  'videos': (['a/b/a.MP4', 'a/notes.txt', 'list.csv'], VIDEOS),
  'videos and a picture': (['deep/a.MP4', 'a.jpg'], VIDEOS),
  'pictures': (['a.jpg', 'b.jpg', 'a/c.JPG'], PICTURES),
  'tfds': (['x/1.0.0/dataset_info.json', 'x/a.png'], TFDS),
  'above': (['out/manifest.json', 'out/plan.jsonl', 'a.mp4'], BELOW),
  'not finished': (['plan.jsonl', 'a.mp4'], UNKNOWN),
  'of others': (['manifest_.json', '.a.mp4'], UNKNOWN),
}


@pytest.fixture(params=['disk', 'store'])
def make(request, tmp_path):
  def made(names):
    where = str(tmp_path / 'in')
    if request.param == 'store':
      where = request.getfixturevalue('bucket')
    for name in names:
      if request.param == 'disk':
        files.make_parents(f'{where}/{name}')
      files.write(f'{where}/{name}', b'')
    return where

  with remote.cached(folder=str(tmp_path / 'copies'), stalled_sec=60.0):
    yield made


@pytest.mark.parametrize('kind', FOLDERS)
def test_what_it_is_and_what_to_do_is_told(make, kind):
  names, said = FOLDERS[kind]
  folder = make(names)
  said = said.replace('{}', folder)
  for look in (
    lambda: shards.open_shards(remote.path(folder)),
    lambda: records.inspect(folder, '', 0, None),
  ):
    with pytest.raises(ValueError, match=said):
      look()


def test_a_file_is_told_to_be_one(make):
  folder = make(['a.mp4'])
  with pytest.raises(
    ValueError, match=r"is a file, .*--videos='.*/a\.mp4' --o"
  ):
    shards.open_shards(remote.path(f'{folder}/a.mp4'))


def test_a_folder_that_may_not_be_read_is_passed_by(tmp_path, monkeypatch):
  (tmp_path / 'closed').mkdir()
  (tmp_path / 'b').mkdir()
  (tmp_path / 'b' / 'a.mp4').touch()
  real = type(tmp_path).iterdir

  def refuses(path):
    if path.name == 'closed':
      raise PermissionError
    return real(path)

  monkeypatch.setattr(type(tmp_path), 'iterdir', refuses)
  with pytest.raises(ValueError, match='holds videos'):
    shards.open_shards(tmp_path)
