"""What finished shards are together: manifest, index and quarantine."""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import av
import numpy as np

from base import files as base_files
from data.film.told import Gap
from data.formats.shards import INDEX, MANIFEST, QUARANTINE, shard_name
from data.ingest import steps
from data.ingest.recipe import Recipe

_GAPS = 4  # that are told one by one


def finish(out: steps.Folder, recipe: Recipe, shards: int) -> dict[str, Any]:
  """Writes manifest, index and quarantine of finished shards.

  Raises:
    ValueError: the summary of a shard is damaged.
    OSError: `out` cannot be written, for example a full disk.
  """
  made = [steps.read_summary(out, number) for number in range(shards)]
  good, refused, damaged, columns = [], [], [], []
  kinds, pictures = Counter(), Counter()
  for shard in made:
    position = 0
    for row in shard['videos']:
      if 'refused' in row:
        refused.append({'file': row['name'], 'reason': row['refused']})
        continue
      row = _complete(row)
      good.append(row)
      kinds.update(row['told'].keys())
      pictures.update(row['pictures'])
      if reason := damage(row):
        damaged.append({'file': row['name'], 'reason': reason})
      for frames in row['frames']:
        # 64 bits of the file's hash, evenly spread: splits are made of them.
        video = int(row['source'][:16], 16)
        columns.append((shard['shard'], position, frames, video))
        position += 1
  index = np.array(
    columns,
    [
      ('shard', '<i4'),
      ('position', '<i4'),
      ('frames', '<i4'),
      ('video', '<u8'),
    ],
  )
  files = [
    {
      'file': shard_name(shard['shard']),
      'records': shard['records'],
      'bytes': shard['bytes'],
      'sha256': shard['sha256'],
    }
    for shard in made
    if shard['records']
  ]
  # Of what the shards hold, not of where they are or when they were made.
  digest = hashlib.sha256(
    json.dumps([steps.FORMAT, files]).encode()
  ).hexdigest()
  manifest = {
    'format': steps.FORMAT,
    'fingerprint': digest[:16],
    'videos': len(good),
    'refused': len(refused),
    'damaged': len(damaged),
    'told': dict(sorted(kinds.items())),
    'pictures': dict(sorted(pictures.items())),
    'records': len(index),
    'frames': int(index['frames'].sum()),
    'seconds': round(sum(row['seconds'] for row in good), 3),
    'lost': round(sum(row['lost'] for row in good), 3),
    'bytes': sum(file['bytes'] for file in files),
    'recipe': dataclasses.asdict(recipe),
    'codec': f'libx264, PyAV {av.__version__}',
    'shards': files,
  }
  lines = [json.dumps(row) + '\n' for row in refused + damaged]
  base_files.write(out / QUARANTINE, ''.join(lines))
  with base_files.replacing(out / INDEX) as draft:
    np.savez(draft, **{name: index[name] for name in index.dtype.names})
  base_files.write(out / MANIFEST, json.dumps(manifest, indent=2) + '\n')
  return manifest


def damage(row: Mapping[str, Any]) -> str:
  """What of a file that was kept is not there, in words; '' if all is."""
  gaps = [str(Gap(*gap)) for gap in row['gaps']]
  parts = []
  if gaps:
    # A file of a thousand gaps needs no line of a thousand.
    more = f' and {len(gaps) - _GAPS} more' if len(gaps) > _GAPS else ''
    parts.append(
      f'damaged: {", ".join(gaps[:_GAPS])}{more} do not decode and are left out'
    )
  if 'truncated' in row['told']:
    parts.append('truncated: the end that it announces is not there')
  return '; '.join(parts)


def _complete(row: dict[str, Any]) -> dict[str, Any]:
  """What a summary says of a file; of earlier versions with what they lack."""
  if 'told' in row:
    return row
  # They knew of damage at the start alone.
  gaps = [[0.0, row['lost']]] if row['lost'] else []
  told = {'damaged': 1} if gaps else {}
  return row | {'told': told, 'pictures': {}, 'gaps': gaps}
