"""How much of the next frame the motion before it tells.

  python -m data.inspect.motion world:frames=8,fps=3 world:frames=8,fps=9
  python -m data.inspect.motion videos:path=DATA,stride=1+1

Sources are compared, as many as are given. A model of the next frame, as MooG
is, learns motion where motion says what comes next. Where frames are so far
apart that it does not, a blurred copy is the better guess, and the model ends
as one. Prints, for each source, what these guesses of a frame are worth in dB:
a copy of the frame before; that copy, blurred as suits the source best; and the
frame before moved on once more as it has moved since the one before that
(optical flow), blurred as suits this best. The last should be the best.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from absl import flags
from jaxtyping import Float, UInt8

from base import command
from data import contact_sheet
from data import source as source_lib
from data.inspect import records

_LEAST = 12  # pixels of the longer side: what the optical flow takes
# Standard deviations in pixels, to choose from.
BLURS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)


@dataclasses.dataclass(frozen=True)
class Motion:
  """Of some clips of a source; PSNRs, in dB, are of the mean squared error.

  Attributes:
    median: pixels that a pixel moves by between two frames.
    most: that 90% of the pixels do not exceed.
    copied: PSNR of the frame before.
    blurred: the best PSNR of the frame before, blurred.
    moved: the best PSNR of the frame before, moved on and blurred.
  """

  median: float
  most: float
  copied: float
  blurred: float
  moved: float


def measure(clips: Iterable[UInt8[np.ndarray, 't h w 3']]) -> Motion:
  """What is known of each frame, but the first two, from those before it.

  Args:
    clips: of three frames or more.

  Raises:
    ValueError: a clip with fewer frames, too few pixels, or no clip.
  """
  flow_of = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
  # By default it looks at the picture halved.
  flow_of.setFinestScale(0)
  lengths, errors = [], {'copied': [], 'moved': []}
  for clip in clips:
    if len(clip) < 3:
      raise ValueError(
        f'clips have {len(clip)} frames: expected 3 or more, see the option '
        'frames of the source'
      )
    if max(clip.shape[1:3]) < _LEAST:
      raise ValueError(
        f'clips have {clip.shape[1]} x {clip.shape[2]} pixels: expected '
        f'{_LEAST} or more in height or width to see motion'
      )
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
    for t in range(2, len(clip)):
      back = flow_of.calc(grey[t - 1], grey[t - 2], None)
      lengths.append(np.linalg.norm(back, axis=-1))
      guesses = {'copied': clip[t - 1], 'moved': _move(clip[t - 1], back)}
      for name, guess in guesses.items():
        errors[name].append(_errors(guess, clip[t]))
  if not lengths:
    raise ValueError('no clips: expected one or more')
  psnr = {
    name: -10 * np.log10(np.mean(each, 0)) for name, each in errors.items()
  }
  median, most = np.percentile(np.stack(lengths), (50, 90))
  return Motion(
    float(median),
    float(most),
    float(psnr['copied'][0]),
    float(psnr['copied'].max()),
    float(psnr['moved'].max()),
  )


def _move(
  frame: UInt8[np.ndarray, 'h w 3'], back: Float[np.ndarray, 'h w 2']
) -> UInt8[np.ndarray, 'h w 3']:
  """The frame whose pixels come from where `back` points, as far again."""
  y, x = np.indices(back.shape[:2], np.float32)
  return cv2.remap(
    *(frame, x + back[..., 0], y + back[..., 1], cv2.INTER_LINEAR),
    borderMode=cv2.BORDER_REPLICATE,
  )


def _errors(guess, truth) -> Float[np.ndarray, 'blurs']:
  """Mean squared errors of the guess in [0, 1], blurred by each of BLURS."""
  guess, truth = (each.astype(np.float32) / 255 for each in (guess, truth))
  return np.stack(
    [
      np.mean(
        np.square(
          (cv2.GaussianBlur(guess, (0, 0), blur) if blur else guess) - truth
        )
      )
      for blur in BLURS
    ]
  )


def of_source(text: str, split: str, clips: int) -> Motion:
  """`measure` of a source and its options, 'NAME:key=value,key=value'.

  Args:
    text: the source.
    split: of it.
    clips: evenly spread over the split.

  Raises:
    ValueError: no such source, option or split, or clips that are too short.
    BadRecord: a clip cannot be read.
  """
  name, options = records.parse(text)
  source = source_lib.make(name, split, **options | {'keys': ('video',)})
  return measure(
    source.read(index, np.random.default_rng(index))['video']
    for index in contact_sheet.spread(len(source), clips)
  )


def main(sources: Sequence[str]) -> None:
  """Prints one line for each source."""
  given = flags.FLAGS
  print(
    'moves by px: median, 90% | dB of copying, blurred copy, moved on | source'
  )
  for text in sources:
    try:
      found = of_source(text, given.split, given.clips)
    except ValueError as error:
      raise ValueError(f'{text}: {error}') from error
    print(
      f'{found.median:20.1f}{found.most:6.1f} |{found.copied:14.2f}'
      f'{found.blurred:14.2f}{found.moved:10.2f} | {text}',
      flush=True,
    )


if __name__ == '__main__':
  flags.DEFINE_integer('clips', 32, 'Clips to look at.', lower_bound=1)
  flags.DEFINE_string('split', 'validation', 'Of the source.')
  command.run(main, words='one source or more, as world:fps=9')
