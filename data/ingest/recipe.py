"""What ingestion makes of a video, and what is too short for it.

Imports nothing heavy: the flags of the command take their defaults from here.
"""

import dataclasses

from data import require

# Shorter groups buy no speed and cost bytes; of longer ones more is decoded in
# vain.
GROUP = 16  # frames from keyframe to keyframe; records are cut there
PRESETS = (  # of x264
  *('ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium'),
  *('slow', 'slower', 'veryslow', 'placebo'),
)


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How a video becomes records; the same for all of one folder.

  Attributes:
    short_side: pixels; smaller videos stay as they are.
    max_fps: frames per second; a faster video keeps one frame of n.
    crf: quality of x264, lower is better and larger.
    preset: effort of x264, 'ultrafast' to 'veryslow'.
    chunk_frames: frames of a record, a multiple of 16.
    overlap_frames: frames that a record shares with the next, a multiple of
      16; clips that span at most as many can start anywhere in the video.
    min_frames: a shorter video is refused.
  """

  # As is usual for crops of 224.
  short_side: int = 256
  max_fps: int = 30
  crf: int = 22  # 3 less is half as large again
  preset: str = 'medium'
  # A read fetches a record whole: of 10 s it would be twice as many bytes.
  # Ours.
  chunk_frames: int = 160
  overlap_frames: int = 64  # 16 frames, 4 apart, span 61
  # A clip of the recipes, at stride 1.
  min_frames: int = 16

  def __post_init__(self):
    """Raises ValueError where an option is impossible."""
    who = 'ingest'
    # Blocks of H.264 are 16 pixels high and wide.
    require.between(16, 8192, who, short_side=self.short_side)
    require.between(1, 1000, who, max_fps=self.max_fps)
    require.between(0, 51, who, crf=self.crf)  # of x264 with 8 bits
    require.one_of(who, PRESETS, preset=self.preset)
    # The record's header numbers frames with 16 bits.
    most = 2**16 - 1
    require.between(GROUP, most, who, chunk_frames=self.chunk_frames)
    require.between(1, most, who, min_frames=self.min_frames)
    chunk, overlap = self.chunk_frames, self.overlap_frames
    if chunk % GROUP or overlap % GROUP:
      raise ValueError(
        f'ingest: chunk_frames={chunk} and overlap_frames={overlap} must be '
        f'multiples of {GROUP}: records are cut at keyframes'
      )
    if not 0 <= overlap < chunk:
      raise ValueError(
        f'ingest: overlap_frames={overlap} must be at least 0 and less than '
        f'chunk_frames={chunk}'
      )
