"""A folder's results are of one checkpoint, made in one way: a note says which.

What goes on with what is there must not mix it with what was made otherwise.
"""

import json
from collections.abc import Mapping
from typing import Any

from base import files, jsons
from train import workdir


def claim(out: str, name: str, what: str, made_of: Mapping[str, Any]) -> None:
  """Notes what a folder's results are made of, or compares it with the note.

  Args:
    out: the folder.
    name: of the file of the note.
    what: they are, for the error.
    made_of: the backbone, and how; plain values.

  Raises:
    ValueError: they are of something else; the keys are named.
  """
  path = files.path(out) / name
  here = workdir.flatten(json.loads(json.dumps(made_of)))
  if files.exists(path):
    remedy = f'choose another folder than --out={out}'
    there = workdir.flatten(jsons.read(path, dict, remedy))
    other = [
      f'{key}: {there.get(key, "absent")} there, {here.get(key, "absent")} here'
      for key in sorted(there.keys() | here.keys())
      if there.get(key) != here.get(key)
    ]
    if other:
      raise ValueError(
        f'--out={out} holds {what} of another checkpoint or made otherwise '
        f'({"; ".join(other)}): choose another folder'
      )
  files.write(path, json.dumps(made_of, indent=2))
