"""What was found in a file and done about it: counted, and said in words."""

import dataclasses
from collections import Counter
from collections.abc import Mapping

# In words, with what is counted; in the order in which they are told. A kind
# that is counted once per file is told as a number of videos.
KINDS = {
  'damaged': 'with damaged stretches, left out: gaps between records',
  'concealed': 'with pictures that are damaged in part: these are left out, '
  'what refers to them is kept',
  'truncated': 'truncated: the end that the file announces is not there',
  'paused': 'with pauses: records end there, and others begin',
  'clock': 'whose clock jumps back: records end there, and others begin',
  'resized': 'whose picture changes size: records end there, others begin',
  'rate': 'whose rate changes: records end there, and others begin',
  'hdr': 'HDR (HLG or PQ), tone-mapped to SDR by the EETF of BT.2390',
  'wide': 'of wide gamut (BT.2020 or P3), brought to BT.709',
  'interlaced': 'interlaced, deinterlaced by bwdif',
  'mirrored': 'mirrored by their display matrix, shown as it says',
  'turned': 'turned by their display matrix, shown as it says',
  'chosen': 'with several video streams: the default or largest one is taken',
  'resampled': 'resampled by time, to the nearest picture',
  'short': 'with stretches that are too short for a record, left out',
}
# What parts a file's pictures into stretches.
PARTS = ('damaged', 'paused', 'clock', 'resized', 'rate')
# Of pictures, beside the videos that they are of.
PICTURES = {
  'deinterlaced': 'deinterlaced',
  'dropped': 'left out, as others are nearer to the times of what is stored',
  'repeated': 'repeated, where the next one comes late',
  'too_short': 'in stretches that are too short',
}


@dataclasses.dataclass(frozen=True)
class Gap:
  """A stretch of a file that is damaged.

  Attributes:
    begin: seconds after the file's first picture.
    seconds: that are left out.
  """

  begin: float
  seconds: float

  def __str__(self) -> str:
    """As it is told."""
    return f'{round(self.seconds, 2):g} s from {round(self.begin, 2):g} s on'


@dataclasses.dataclass
class Told:
  """What one file turned out to be. Grows as it is read.

  Attributes:
    kinds: of KINDS, how often each was met (in a file: once is enough).
    pictures: of PICTURES.
    gaps: in the order of the file.
  """

  kinds: Counter = dataclasses.field(default_factory=Counter)
  pictures: Counter = dataclasses.field(default_factory=Counter)
  gaps: list[Gap] = dataclasses.field(default_factory=list)

  def add(self, gap: Gap):
    """Damage was met."""
    self.kinds['damaged'] += 1
    self.gaps.append(gap)

  @property
  def lost(self) -> float:
    """Seconds that are damaged."""
    return sum((gap.seconds for gap in self.gaps), 0.0)


def lines(videos: Mapping[str, int], pictures: Mapping[str, int]) -> list[str]:
  """A line per kind that there is.

  Args:
    videos: of KINDS, how many videos are so.
    pictures: of PICTURES, how many pictures.
  """
  return [
    f'{count("video", videos[kind])} {words}'
    for kind, words in KINDS.items()
    if videos.get(kind)
  ] + [
    f'{count("picture", pictures[kind])} {words}'
    for kind, words in PICTURES.items()
    if pictures.get(kind)
  ]


def count(word: str, number: int) -> str:
  """'1 record', '2 records'."""
  return f'{number} {word}' if number == 1 else f'{number} {word}s'
