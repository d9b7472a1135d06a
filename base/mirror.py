"""Files that grow, of a folder that may be in an object store.

Programs append to files of a folder of this machine. Where the real folder is
in an object store, each that has changed is brought there whole, now and then.
"""

import os
import pathlib
import tempfile
import time

from etils import epath

from base import files

EVERY = 60.0  # seconds between two times that files are brought
_SHARE = 20.0  # times what bringing takes lie between two, at least


class Mirror:
  """Of one folder; on a disk it is the folder itself.

  Attributes:
    folder: of this machine, to write to.
    is_needed: whether it is another than the real one.
  """

  def __init__(self, folder: epath.PathLike):
    self._real = files.path(folder)
    self.is_needed = not files.is_local(self._real)
    self._brought: dict[str, tuple[int, int]] = {}
    self._next = time.monotonic() + EVERY
    self.folder = os.fspath(self._real)
    if self.is_needed:
      self._temporary = tempfile.TemporaryDirectory(prefix='scale4d-')
      self.folder = self._temporary.name

  def fetch(self, name: str) -> str:
    """The path of a file to append to, with what is there already."""
    path = os.path.join(self.folder, name)
    if self.is_needed and not os.path.exists(path):
      there = self._real / name
      if files.exists(there):
        files.write(path, files.read_bytes(there))
        self._brought[name] = _state(path)
    return path

  def due(self) -> bool:
    """Whether it is time to `bring` again; never on a disk."""
    return self.is_needed and time.monotonic() >= self._next

  def bring(self) -> None:
    """Brings what has changed; to be called where nothing waits for it.

    Raises:
      OSError: the object store cannot be written to.
    """
    if not self.is_needed:
      return
    began = time.monotonic()
    for path in sorted(pathlib.Path(self.folder).rglob('*')):
      # W&B has links to its files beside them.
      if path.is_symlink() or not path.is_file():
        continue
      name = path.relative_to(self.folder).as_posix()
      state = _state(path)
      if self._brought.get(name) != state:
        files.write(self._real / name, path.read_bytes())
        self._brought[name] = state
    now = time.monotonic()
    self._next = now + max(EVERY, _SHARE * (now - began))

  def close(self) -> None:
    """Brings the last, and removes what was only here."""
    if self.is_needed:
      self.bring()
      self._temporary.cleanup()


def _state(path: os.PathLike | str) -> tuple[int, int]:
  found = os.stat(path)
  return found.st_size, found.st_mtime_ns
