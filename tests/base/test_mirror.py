"""Files that grow in a folder of an object store."""

import os

from base import files, mirror


def test_on_a_disk_it_is_the_folder_itself(tmp_path):
  there = mirror.Mirror(str(tmp_path))
  assert there.folder == str(tmp_path)
  assert there.fetch('a') == str(tmp_path / 'a')
  assert not there.due()
  there.close()
  assert tmp_path.is_dir()


def test_what_grew_is_brought_whole_and_only_that(bucket, monkeypatch):
  files.write(f'{bucket}/a', 'old\n')
  files.write(f'{bucket}/b', 'other\n')
  there = mirror.Mirror(bucket)
  written = []
  write = files.write
  monkeypatch.setattr(
    files, 'write', lambda path, data: (written.append(path), write(path, data))
  )
  with open(there.fetch('a'), 'a') as file:
    file.write('new\n')
  there.fetch('b')
  os.makedirs(os.path.join(there.folder, 'c'))
  with open(os.path.join(there.folder, 'c/d'), 'w') as file:
    file.write('d')
  written.clear()
  there.bring()
  assert [str(path) for path in written] == [f'{bucket}/a', f'{bucket}/c/d']
  assert files.read_bytes(f'{bucket}/a') == b'old\nnew\n'
  assert not there.due()
  there.bring()
  assert len(written) == 2
  monkeypatch.setattr(mirror.time, 'monotonic', lambda: there._next)
  assert there.due()
  there.close()
  assert not os.path.exists(there.folder)
