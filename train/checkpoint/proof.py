"""A checkpoint proves itself: STEP/digests.json tells the bytes of each file.

It is written right after Orbax has made the checkpoint one, and compared
whenever it is read. Of several processes each looks at its share of a disk's
files, and the first one decides for all; in an object store it alone asks.
"""

import json
from collections.abc import Sequence

import google_crc32c
import jax
from etils import epath

from base import digests, files
from base.digests import Digest
from train import processes
from train.checkpoint import layout
from train.checkpoint.folders import DAMAGED, PROOF

UNPROVEN = 'unproven'


def write(folder: str) -> None:
  """Writes the digests of a complete checkpoint; by all processes at once.

  Raises:
    RuntimeError: a file is not there, though it was written.
  """

  def gathered(words: list[str]) -> str:
    found = {k: v for word in words for k, v in json.loads(word).items()}
    # A file system of a network may have listed less to another machine.
    found |= digests.of(folder, [name for name in names if name not in found])
    lost = [name for name in names if 'bytes' not in found.get(name, {})]
    if lost:
      raise RuntimeError(
        f'{folder} has just been written, but not all can be read: {lost[:5]}'
      )
    files.write(epath.Path(folder) / PROOF, _rendered(found))
    return ''

  names = sorted({*digests.names(folder)} - {PROOF, DAMAGED})
  share = _share(folder, names, jax.process_index(), jax.process_count())
  mine = digests.of(folder, share)
  processes.agree(f'digests of {folder}', json.dumps(mine), gathered)


def judge(folder: str) -> str:
  """Whether a checkpoint is what was written; by all processes at once.

  Returns:
    '' if it is; its damage, with the file; or UNPROVEN: there are no digests,
    since a process was killed right after it had saved, or did not copy them,
    and as far as can be seen without nothing is damaged.
  """

  def worst(words: list[str]) -> str:
    damage = [word for word in words if word not in ('', UNPROVEN)]
    return damage[0] if damage else max(words)

  mine = judge_share(folder, jax.process_index(), jax.process_count())
  return processes.agree(f'proof of {folder}', mine, worst)


def judge_share(folder: str, place: int, places: int) -> str:
  """As `judge`, of the share of one of several processes, by it alone."""
  try:
    text = files.read_bytes(epath.Path(folder) / PROOF)
  except FileNotFoundError:
    return layout.unreadable(folder, place, places) or UNPROVEN
  written = _parsed(text)
  if not written:
    return f'{PROOF} is not as it was written'
  # Large files first: so each process has as much of them.
  names = sorted(written, key=lambda name: (-written[name]['bytes'], name))
  mine = _share(folder, names, place, places)
  found = digests.of(folder, mine)
  each = [_differs(name, found.get(name), written[name]) for name in mine]
  first, *more = [*filter(None, each), '']
  return f'{first}, and {len(more) - 1} more files' if len(more) > 1 else first


def _differs(name: str, found: Digest | None, written: Digest) -> str:
  if not found:
    return f'{name} is missing'
  if 'error' in found:
    return f'{name} cannot be read ({found["error"]})'
  if found['bytes'] != written['bytes']:
    return f'{name} has {found["bytes"]} bytes, of {written["bytes"]}'
  if not digests.same(found, written):
    return f'{name} holds other bytes than were written'
  return ''


def _share(
  folder: str, names: Sequence[str], place: int, places: int
) -> Sequence[str]:
  """Those of the files that one of several processes looks at."""
  if files.is_local(folder):
    return names[place::places]
  return [] if place else names


def _rendered(found: dict[str, Digest]) -> bytes:
  """The file: a line for each, and first the sum of these lines."""
  lines = [json.dumps([name, found[name]]) for name in sorted(found)]
  text = '\n'.join(lines).encode()
  return b'%08x\n%s\n' % (google_crc32c.value(text), text)


def _parsed(text: bytes) -> dict[str, Digest]:
  """What was rendered; empty if a bit of it is another."""
  sums, _, lines = text.partition(b'\n')
  whole = lines.endswith(b'\n')
  if not whole or b'%08x' % google_crc32c.value(lines[:-1]) != sums:
    return {}
  return dict(json.loads(line) for line in lines.splitlines())
