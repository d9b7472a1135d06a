"""What options must be: each function refuses all else, with the remedy.

`who` is the name of what has the options, as 'movi'; options are given by name.
The last two are of the files that come with the data.
"""

import codecs
import numbers
import os
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from base.names import choose
from data.remote import Path, Remote

_LONGEST = 255  # bytes of a file's name


def one_of(who: str, known: Collection[str], **given: str) -> None:
  """Words out of several.

  Raises:
    ValueError: another word; the nearest is named.
  """
  for option, value in given.items():
    choose(f'{option} of {who}', value, known)


def keys(who: str, given: Sequence[str], known: Collection[str]) -> None:
  """Record keys that a source can give, one at least.

  Raises:
    ValueError: another key, the nearest is named; or none.
  """
  if not given:
    raise ValueError(f'{who}: no keys: give one or more of {", ".join(known)}')
  for key in given:
    one_of(who, known, keys=key)


def at_least(least: int, who: str, **given: int | float) -> None:
  """Whole numbers: frames, pixels, rows.

  Raises:
    ValueError: less, or not whole.
  """
  for option, value in given.items():
    if not isinstance(value, numbers.Integral) or value < least:
      raise ValueError(
        f'{who}: {option}={value!r} must be a whole number, {least} or more'
      )


def between(
  low: int | float, high: int | float, who: str, **given: int | float
) -> None:
  """Numbers of a range, both ends included.

  Raises:
    ValueError: out of it.
  """
  for option, value in given.items():
    if not low <= value <= high:
      raise ValueError(f'{who}: {option}={value} must be {low} to {high}')


def ordered(
  who: str, most: int | float | None = None, **given: Sequence[int | float]
) -> None:
  """Pairs (least, greatest) above 0, as of scale and aspect.

  Args:
    who: see the module.
    most: that both ends may be; None: anything.
    **given: the pairs.

  Raises:
    ValueError: other pairs.
  """
  for option, pair in given.items():
    good = len(pair) == 2 and 0 < pair[0] <= pair[1]
    if not good or (most is not None and pair[1] > most):
      at_most = '' if most is None else f' and at most {most}'
      raise ValueError(
        f'{who}: {option}={tuple(pair)} must be (least, greatest), in order, '
        f'above 0{at_most}'
      )


def stride(who: str, given: Sequence[int]) -> None:
  """Least and greatest distance between the frames of a clip.

  Raises:
    ValueError: no such pair.
  """
  ordered(who, stride=given)
  at_least(1, who, stride=given[0])


def only_test(who: str, split: str, title: str, instead: str) -> None:
  """A split of a benchmark that nothing is trained on.

  Args:
    who: see the module.
    split: asked for.
    title: of the benchmark.
    instead: what to train on, as "tracks, such as 'world'".

  Raises:
    ValueError: any but 'test'.
  """
  if split != 'test':
    raise ValueError(
      f"{who}: split={split!r}: {title} has only the split 'test'. Train on "
      f'another source of {instead}.'
    )


def told_frames(
  who: str, queries: str, given: Sequence[str], tracks: str, task: str
) -> None:
  """Points that are asked for in other frames than the first.

  Args:
    who: see the module.
    queries: which are asked for; of 'frame0' nothing need be told.
    given: the keys of the record.
    tracks: the key of the points.
    task: that reads them.

  Raises:
    ValueError: the frames of the queries are not among the keys.
  """
  if queries != 'frame0' and tracks in given and 'query_frames' not in given:
    raise ValueError(
      f'{who}: queries={queries!r} asks for points of later frames, and who '
      f"reads does not look at 'query_frames': set tasks.{task}.query_frames "
      "(a head that is told the frame), or take queries='frame0'"
    )


def below(who: str, folder: Path, name: str, file: Path) -> Path:
  """A file of a folder that a list names.

  Links in the folder may lead anywhere: who made the folder made them.

  Args:
    who: see the module.
    folder: that a user named.
    name: in the list: relative to the folder, or absolute and in it.
    file: the list.

  Raises:
    ValueError: it is outside, or would be for some links.
  """
  if isinstance(folder, Remote):
    top = folder.text
    name = name.removeprefix(f'{top}/')
  else:
    top = os.path.abspath(folder)
  inside, parts = os.path.join(top, name), PurePosixPath(name).parts
  if max(len(os.fsencode(part)) for part in (*parts, '')) > _LONGEST:
    raise ValueError(
      f'{who}: {file} names {name[:99]!r}..., longer than a name of a file can '
      'be: it is damaged, or another file; copy it again'
    )
  if '..' in parts or not PurePosixPath(inside).is_relative_to(top):
    raise ValueError(
      f'{who}: {file} names {name!r}, which is outside {folder}: expected a '
      'file in it; mend the list, or name a folder that holds it'
    )
  return folder / name


def text(who: str, file: Path) -> str:
  r"""All of a small file, without the mark of byte order that some begin with.

  Lines end with \n, whatever they end with in the file.

  Raises:
    ValueError: it is not text.
  """
  data = file.read_bytes()
  # What spreadsheets call Unicode has two bytes for a letter.
  is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
  try:
    found = data.decode('utf-16' if is_wide else 'utf-8-sig')
  except UnicodeDecodeError as error:
    raise ValueError(
      f'{who}: {file} is not text ({error}): it is damaged, or another file; '
      'copy it again'
    ) from error
  return found.replace('\r\n', '\n').replace('\r', '\n')
