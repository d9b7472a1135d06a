"""What travels to the hosts."""

import io
import json
import subprocess
import tarfile

import pytest

from launch.tpu import code

WORK = code.Work(
  command=('python', '-m', 'train'),
  environment={'TOKEN': 'secret'},
  python='',
  packages=('libtpu',),
  join='metadata',
  port=8476,
)


@pytest.fixture
def checkout(tmp_path):
  """A small one, with something edited, added, deleted and ignored."""
  for name in ('kept.py', 'edited.py', 'deleted.py', 'a b.sh'):
    (tmp_path / name).write_text(name)
  (tmp_path / 'a b.sh').chmod(0o755)
  (tmp_path / '.gitignore').write_text('runs/\n')
  git = ['git', '-C', tmp_path, '-c', 'user.name=x', '-c', 'user.email=x@x']
  for words in (['init', '-q'], ['add', '.'], ['commit', '-q', '-m', 'x']):
    subprocess.run([*git, *words], check=True)
  (tmp_path / 'edited.py').write_text('edited since')
  (tmp_path / 'deleted.py').unlink()
  (tmp_path / 'new.py').write_text('new')
  (tmp_path / 'runs').mkdir()
  (tmp_path / 'runs' / 'large').write_text('ignored')
  return tmp_path


def unpacked(pack):
  with tarfile.open(fileobj=io.BytesIO(pack.data)) as archive:
    return {
      each.name: (archive.extractfile(each).read().decode(), each.mode)
      for each in archive
    }


def test_the_checkout_as_it_is_now_travels(checkout):
  pack = code.pack(WORK, checkout)
  found = unpacked(pack)
  ours = {name for name in found if not name.startswith('.launch/')}
  assert ours == {'.gitignore', 'kept.py', 'edited.py', 'new.py', 'a b.sh'}
  assert found['edited.py'] == ('edited since', 0o644)
  assert found['a b.sh'][1] == 0o755
  assert pack.said.endswith('with 2 files edited and 1 new since')
  job = json.loads(found['.launch/job.json'][0])
  assert job['command'] == ['python', '-m', 'train']
  assert job['environment'] == {'TOKEN': 'secret'}
  versions = found['.launch/constraints.txt'][0].splitlines()
  assert any(line.startswith('jax==') for line in versions)


def test_the_same_content_has_the_same_name(checkout):
  first = code.pack(WORK, checkout)
  (checkout / 'kept.py').touch()
  assert code.pack(WORK, checkout) == first
  (checkout / 'kept.py').write_text('changed')
  assert code.pack(WORK, checkout).name != first.name


def test_what_is_too_large_is_named(checkout, monkeypatch):
  monkeypatch.setattr(code, '_MOST', 1000)
  (checkout / 'weights.bin').write_bytes(b'x' * 2000)
  with pytest.raises(ValueError, match=r'move weights\.bin, the largest'):
    code.pack(WORK, checkout)


def test_no_checkout(tmp_path):
  with pytest.raises(ValueError, match='is no checkout of git'):
    code.pack(WORK, tmp_path)
