"""What travels to the hosts: this checkout, and what to run of it."""

import dataclasses
import gzip
import hashlib
import importlib.metadata
import io
import json
import pathlib
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence

from launch import job

ROOT = pathlib.Path(__file__).resolve().parents[2]
_MOST = 200 << 20  # bytes of files, before they are packed


@dataclasses.dataclass(frozen=True)
class Work:
  """What each host runs, alike.

  Attributes:
    command: its words.
    environment: variables for it; with secrets, so that they travel in a file.
    python: interpreter of the hosts that has what is needed; '': it is
      installed.
    packages: to install beside requirements.txt.
    join: 'metadata': JAX finds its peers as TPU VMs tell it; 'addresses': it
      is told them.
    port: of the first process, at which they meet.
    waits: pattern of a line by which a process says that it waits for the
      others.
    joined: of one by which it says that all have come.
  """

  command: Sequence[str]
  environment: Mapping[str, str]
  python: str
  packages: Sequence[str]
  join: str
  port: int
  waits: str = job.JOINS.pattern
  joined: str = job.JOINED.pattern


@dataclasses.dataclass(frozen=True)
class Pack:
  """A packed checkout.

  Attributes:
    data: the archive.
    name: of its folder on the hosts, by its content.
    said: what travels, for people.
  """

  data: bytes
  name: str
  said: str


def pack(work: Work, root: pathlib.Path = ROOT) -> Pack:
  """The files of this checkout as they are now, and what to run.

  Args:
    work: for the hosts.
    root: of the checkout.

  Raises:
    ValueError: it is none of git, or too large.
  """
  names = _git(root, 'ls-files', '-z', '--cached')
  new = _git(root, 'ls-files', '-z', '--others', '--exclude-standard')
  edited = _git(root, 'diff', '--name-only', '-z', 'HEAD')
  files = [root / name for name in sorted({*names, *new})]
  # Those that were deleted are still listed.
  files = [each for each in files if each.is_file()]
  size = sum(each.stat().st_size for each in files)
  if size > _MOST:
    largest = max(files, key=lambda each: each.stat().st_size)
    raise ValueError(
      f'the checkout has {size >> 20} MiB that git does not ignore, expected '
      f'at most {_MOST >> 20}, since all of it travels to every host: move '
      f'{largest.relative_to(root)}, the largest file, or ignore it'
    )
  made = {
    'job.json': json.dumps(dataclasses.asdict(work), indent=1),
    'constraints.txt': ''.join(f'{each}\n' for each in constraints()),
  }
  raw = io.BytesIO()
  # The same content has the same bytes, and need not travel again.
  with tarfile.open(fileobj=raw, mode='w') as archive:
    for each in files:
      _add(archive, f'{each.relative_to(root)}', each.read_bytes(), each.stat())
    for name, text in made.items():
      _add(archive, f'.launch/{name}', text.encode(), None)
  digest = hashlib.sha256(raw.getvalue()).hexdigest()[:12]
  commit = _git(root, 'rev-parse', '--short', 'HEAD')[0].strip()
  changes = [f'{len(edited)} files edited' if edited else '']
  changes.append(f'{len(new)} new' if new else '')
  said = ' and '.join(filter(None, changes))
  return Pack(
    gzip.compress(raw.getvalue(), 6, mtime=0),
    f'code-{digest}',
    f'commit {commit}' + (f' with {said} since' if said else ''),
  )


def constraints() -> list[str]:
  """Packages of this interpreter, so that hosts get the same versions."""
  found = {}
  for each in importlib.metadata.distributions():
    name, version = each.metadata['Name'], each.version
    # A build of one machine, as 2.1+cpu, is in no index.
    if name and re.fullmatch(r'[\w.!-]+', version):
      found[name.lower()] = f'{name}=={version}'
  return [found[name] for name in sorted(found)]


def packages(workdir: str) -> list[str]:
  """What hosts install beside requirements.txt.

  Args:
    workdir: of the job.
  """
  wanted = ['libtpu' if 'libtpu' in _installed() else 'jax[tpu]']
  if workdir.startswith('gs://'):
    wanted += ['gcsfs', 'google-cloud-storage']
  return wanted


def _installed() -> set[str]:
  return {each.partition('==')[0].lower() for each in constraints()}


def _add(archive: tarfile.TarFile, name: str, data: bytes, stat) -> None:
  info = tarfile.TarInfo(name)
  info.size = len(data)
  info.mode = 0o755 if stat and stat.st_mode & 0o100 else 0o644
  archive.addfile(info, io.BytesIO(data))


def _git(root: pathlib.Path, *words: str) -> list[str]:
  """What it lists.

  Raises:
    ValueError: `root` is no checkout.
  """
  if not shutil.which('git'):
    raise ValueError(
      'git is not on PATH: what travels to the hosts is what it lists; '
      'install it'
    )
  done = subprocess.run(
    ['git', '-C', root, *words], capture_output=True, text=True
  )
  if done.returncode:
    raise ValueError(
      f'{root} is no checkout of git ({done.stderr.strip()}): what travels to '
      'the hosts is what git lists; clone the project, or run `git init` and '
      'commit'
    )
  return [name for name in done.stdout.split('\0') if name.strip()]
