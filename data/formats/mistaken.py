"""What a folder holds that was taken for one of `data.ingest`.

Told by names, of the first files that are found: for a message, not to read.
"""

import contextlib
import itertools
from collections.abc import Iterator

from data.remote import Path

_FOLDERS, _NAMES = 40, 1000  # that are looked at; of each folder
_VIDEOS = frozenset(
  {
    *('.3gp', '.avi', '.flv', '.gif', '.h264', '.m2ts', '.m2v', '.m4v', '.mkv'),
    *('.mov', '.mp4', '.mpeg', '.mpg', '.mts', '.ogv', '.ts', '.vob', '.webm'),
    '.wmv',
  }
)
_PICTURES = frozenset(
  {
    *(
      '.bmp',
      '.exr',
      '.jpeg',
      '.jpg',
      '.png',
      '.ppm',
      '.tif',
      '.tiff',
      '.webp',
    ),
  }
)
_SOURCE = (
  'or if it is of a data set that has a source of its own, name that: '
  '`python -m data.inspect` lists them'
)


def advice(folder: Path, manifest: str, plan: str) -> str:
  """What the folder is instead, and what to do; '' if that is not known.

  Args:
    folder: that there is, without a manifest.
    manifest: name of that file, by which ingested folders are known.
    plan: name of the file with which ingestion begins: then it is one.
  """
  if (folder / plan).is_file():
    return ''
  videos, pictures = [], []
  for file in _files(folder):
    above = file.parent
    if file.name == 'dataset_info.json':
      return (
        f'{above} is of TensorFlow Datasets: write data=tfds,data.path={above} '
        f'into the recipe, or tfds:path={above},keys=video for data.inspect'
      )
    if file.name == manifest and (above / plan).is_file():
      return f'{above} below it was made by data.ingest: give that one'
    kind = file.suffix.lower()
    if kind in _VIDEOS:
      videos.append(file)
    elif kind in _PICTURES:
      pictures.append(file)
  if len(pictures) > len(videos):
    return (
      f'it holds pictures ({pictures[0].name}): make a video of each sequence '
      f'(docs/data.md tells how), and ingest those; {_SOURCE}'
    )
  if videos:
    return (
      f'it holds videos ({videos[0].name}): ingest them by `python -m '
      f"data.ingest --videos='{folder}/**' --out=DATA`, and give DATA, any "
      f'folder; {_SOURCE}'
    )
  return ''


def _files(folder: Path) -> Iterator[Path]:
  """Of the folder and those below it, the nearest first."""
  folders = [folder]
  for looked in range(_FOLDERS):
    if looked == len(folders):
      return
    # Of others, and not to be looked into.
    with contextlib.suppress(PermissionError):
      for path in itertools.islice(folders[looked].iterdir(), _NAMES):
        if path.name.startswith('.'):
          continue
        if path.is_dir():
          folders.append(path)
        else:
          yield path
