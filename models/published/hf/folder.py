"""A folder of an encoder: what its files of JSON say, and where arrays lie."""

import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from base import digests, jsons
from base.files import is_local
from models.published import files

CONFIG = 'config.json'
WEIGHTS = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
# Pixels' mean and deviation are in one of them.
PREPROCESSORS = ('preprocessor_config.json', 'video_preprocessor_config.json')
# Of ImageNet, where no file tells others.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_REMEDY = 'download the folder again, or save it again with save_pretrained'


class Folder(NamedTuple):
  """What a folder holds."""

  path: str
  config: Mapping[str, Any]
  model_type: str
  entries: Mapping[str, files.Entry]  # arrays of all pieces, by name
  # Of pixels in [0, 1]: an encoder sees (pixel - mean) / std.
  mean: tuple[float, ...]
  std: tuple[float, ...]
  told_by: str  # who says so

  def number(self, key: str, kind: type = int) -> Any:
    """A number above 0 of config.json; none is taken for granted.

    Raises:
      ValueError: it is not there, or none.
    """
    where = os.path.join(self.path, CONFIG)
    found = jsons.expect(self.config, {key: kind}, where, _REMEDY)[key]
    if not 0 < found < math.inf:
      raise ValueError(f'{where}: {key}={found}, expected a number above 0')
    return found

  def flag(self, key: str) -> bool:
    """What config.json says, yes or no.

    Raises:
      ValueError: neither.
    """
    where = os.path.join(self.path, CONFIG)
    return jsons.expect(self.config, {key: bool}, where, _REMEDY)[key]

  def expect(self, **values: Any) -> None:
    """What an encoder here can only be; keys that are not there are refused.

    Raises:
      ValueError: config.json says something else.
    """
    for key, value in values.items():
      got = self.config.get(key, 'nothing')
      if got != value or isinstance(got, bool) != isinstance(value, bool):
        raise ValueError(
          f'{self.path}/{CONFIG}: {key}={got!r}, and a {self.model_type} is '
          f'known here with {key}={value!r} alone'
        )


def names(path: str) -> list[str]:
  """Files that an encoder is made of, those that are there.

  Raises:
    ValueError: no such folder, it is in an object store, it lacks the config or
      weights, or the index of pieces is damaged.
  """
  if not is_local(path):
    raise ValueError(
      f'{path} is in an object store, and arrays are mapped into memory: copy '
      'it to a disk'
    )
  if not os.path.isdir(path):
    raise ValueError(
      f'{path} is not a folder: expected that of an encoder, with {CONFIG} and '
      f'{WEIGHTS}'
    )
  there = set(os.listdir(path))
  if CONFIG not in there:
    raise ValueError(
      f'{path} has no {CONFIG}, and heads are in no shape of an array: put the '
      'one of its weights there'
    )
  found = [CONFIG, *(name for name in PREPROCESSORS if name in there)]
  if WEIGHTS in there:
    return [*found, WEIGHTS]
  if INDEX not in there:
    pickled = sorted(name for name in there if name.endswith(('.bin', '.pt')))
    raise ValueError(
      f'{path} has neither {WEIGHTS} nor {INDEX}'
      + f'; {", ".join(pickled)} may run any code, and is not read'
      * bool(pickled)
      + ': load it in transformers, and save it with save_pretrained'
    )
  return [*found, INDEX, *sorted(set(_pieces(path).values()))]


def opened(path: str) -> Folder:
  """What a folder holds; arrays are mapped, and not read yet.

  Raises:
    ValueError: see `names`, or a file is damaged, or says what cannot be.
  """
  there = names(path)
  where = os.path.join(path, CONFIG)
  config = jsons.read(where, {'model_type': str}, _REMEDY)
  mean, std, told_by = _pixels(path, there)
  return Folder(
    path=path,
    config=config,
    model_type=config['model_type'],
    entries=_entries(path, there),
    mean=mean,
    std=std,
    told_by=told_by,
  )


def digest(path: str) -> dict[str, digests.Digest]:
  """Sizes and sums of the files that an encoder is made of, by name.

  Raises:
    ValueError: see `names`, or a file cannot be read.
  """
  found = digests.of(path, names(path))
  for name, each in found.items():
    if 'error' in each:
      raise ValueError(f'{path}/{name} cannot be read: {each["error"]}')
  return found


def _entries(path: str, there: list[str]) -> dict[str, files.Entry]:
  if WEIGHTS in there:
    return _array_file(path, WEIGHTS)
  pieces, found = _pieces(path), {}
  for piece in sorted(set(pieces.values())):
    if piece not in os.listdir(path):
      raise ValueError(f'{path} lacks {piece}, a piece that {INDEX} names')
    part = _array_file(path, piece)
    told = {name for name, where in pieces.items() if where == piece}
    if told != part.keys():
      odd = min(told ^ part.keys())
      has = 'holds' if odd in part else 'lacks'
      raise ValueError(
        f'{path}/{piece} {has} {odd}, and {INDEX} says otherwise: {_REMEDY}'
      )
    found |= part
  return found


def _array_file(path: str, name: str) -> dict[str, files.Entry]:
  return files.opened(os.path.join(path, name), dtypes=files.FLOATS)


def _pieces(path: str) -> dict[str, str]:
  """The index: name of an array -> name of its file."""
  where = os.path.join(path, INDEX)
  found = jsons.read(where, {'weight_map': dict}, _REMEDY)['weight_map']
  for name, piece in found.items():
    if not isinstance(piece, str) or os.path.basename(piece) != piece:
      raise ValueError(
        f'{where}: {name} is in {piece!r}, expected the name of a file beside '
        f'it: {_REMEDY}'
      )
  if not found:
    raise ValueError(f'{where} names no array: {_REMEDY}')
  return found


def _pixels(
  path: str, there: list[str]
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
  """Mean and deviation of pixels, and who tells."""
  told = {}
  for name in PREPROCESSORS:
    if name in there:
      told[name] = _told(os.path.join(path, name))
  if not told:
    return MEAN, STD, "ImageNet's, since no preprocessor config is there"
  if len(set(told.values())) > 1:
    raise ValueError(
      f'{path}: {" and ".join(told)} differ in what becomes of pixels: '
      f'{told}; remove the one that is not of these weights'
    )
  name, (mean, std) = next(iter(told.items()))
  return mean, std, name


def _told(where: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
  found = jsons.read(where, dict, _REMEDY)
  factor = found.get('rescale_factor', 1 / 255)
  rescales = found.get('do_rescale', True)
  if rescales is not True or not _near(factor, 1 / 255):
    raise ValueError(
      f'{where}: do_rescale={rescales}, rescale_factor={factor}: expected '
      'pixels over 255, as all encoders here have them'
    )
  if found.get('do_normalize', True) is False:
    return (0.0,) * 3, (1.0,) * 3
  kind = {'image_mean': [float], 'image_std': [float]}
  found = jsons.expect(found, kind, where, _REMEDY)
  mean, std = tuple(found['image_mean']), tuple(found['image_std'])
  if len(mean) != 3 or len(std) != 3 or not min(std) > 0:
    raise ValueError(
      f'{where}: image_mean={mean}, image_std={std}: expected three numbers '
      'each, and deviations above 0'
    )
  return mean, std


def _near(one: Any, other: float) -> bool:
  return isinstance(one, float) and abs(one - other) < 1e-6
