"""Which feature of a data set is the video, and which the label."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from base.names import choose, did_you_mean
from data.formats.tfds import Described


class _Kind(NamedTuple):
  """What a feature must be, and which is taken if none is named."""

  fits: Callable[[Described], bool]
  is_likely: Callable[[Described], bool]
  words: str


# Masks are pictures of one channel, and a number may be anything.
_KINDS = {
  'video': _Kind(
    lambda feature: feature.is_video,
    lambda feature: feature.shape[-1] != 1,
    'pictures of uint8, of 1 or 3 channels, in one list',
  ),
  'label': _Kind(
    lambda feature: feature.is_label,
    lambda feature: feature.kind == 'ClassLabel',
    'one whole number',
  ),
}


def chosen(
  what: str, given: str, known: Mapping[str, Described], path: str
) -> str:
  """The path of the feature that is the video, or the label.

  Args:
    what: 'video' or 'label'.
    given: its path; '': the only one that is likely.
    known: what the folder says of its features; nothing: it does not.
    path: of the folder.

  Raises:
    ValueError: no such feature, one that it cannot be, or not one alone.
  """
  kind = _KINDS[what]
  if not known:
    # A folder of an old version.
    if given:
      return given
    raise ValueError(
      f'tfds: {path} has no features.json, which tells what is a {what}: name '
      f'the feature with {what}='
    )
  fitting = [each for each in known if kind.fits(known[each])]
  if given:
    choose(f'{what} of tfds', given, known)
    if given not in fitting:
      there = f'there is {", ".join(fitting)}' if fitting else 'there is none'
      raise ValueError(
        f'tfds: {what}={given} is a {known[given]}, expected {kind.words}: '
        f'{there}{did_you_mean(given, fitting)}'
      )
    return given
  likely = [each for each in fitting if kind.is_likely(known[each])]
  if len(likely) != 1:
    listed = likely or fitting or known
    told = ', '.join(f'{each} ({known[each]})' for each in listed)
    many = (
      f'{len(likely)} features may be' if likely else 'no feature is surely'
    )
    raise ValueError(
      f'tfds: {path}: {many} the {what}, which is {kind.words}: name one with '
      f'{what}=, or do without with keys=; there is {told}'
    )
  return likely[0]
