"""Encoders as Hugging Face's transformers saves them: a folder, read as ours.

A folder has config.json, model.safetensors (or pieces of it, and their index),
and perhaps a file of its preprocessor. Which encoder it is follows from
`model_type` in config.json.
"""

from types import ModuleType
from typing import Any, NamedTuple

from base.names import choose
from models.published.hf import arrays, dinov2, folder, videomae, vjepa2
from models.published.loading import nested

# model_type in config.json -> what knows its names.
FAMILIES: dict[str, ModuleType] = {
  'dinov2': dinov2,
  'dinov2_with_registers': dinov2,
  'videomae': videomae,
  'vjepa2': vjepa2,
}
VERSION = 1  # of what is made of a folder: another makes other parameters


class Encoder(NamedTuple):
  """An encoder of a folder, in our words."""

  model: dict[str, Any]  # section `model` of a config
  params: dict[str, Any]  # float32, of NumPy
  said: str  # about it, a line


def read(path: str, **clip: int) -> Encoder:
  """Reads the encoder of a folder, whole.

  Args:
    path: of the folder.
    **clip: frames, height or width to see, where the encoder leaves a choice.

  Raises:
    ValueError: no such folder, an encoder that is not known, a file that is
      damaged, an array that is missing, of another shape, or that nobody knows,
      or a clip that it cannot see.
  """
  found = folder.opened(path)
  family = family_of(found)
  known = family.known(found)
  given = {key: value for key, value in clip.items() if value}
  model = {**known.model, **family.clip(found, given)}
  leaves = arrays.read(found, known)
  arrays.fold_pixels(leaves, found)
  leaves = family.finished(leaves)
  said = (
    f'{found.model_type} {model["dim"]} wide, {model["depth"]} blocks, '
    f'{model["heads"]} heads; clips of {model["frames"]} x {model["height"]} x '
    f'{model["width"]}; pixels less {found.mean}, over {found.std} '
    f'({found.told_by})'
  )
  return Encoder(model, nested(leaves), said)


def family_of(found: folder.Folder) -> ModuleType:
  """What knows the names of a folder's encoder.

  Raises:
    ValueError: nothing does.
  """
  where = f'model_type in {found.path}/config.json'
  return FAMILIES[choose(where, found.model_type, FAMILIES)]
