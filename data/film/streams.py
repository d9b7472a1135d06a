"""A file of any container that FFmpeg knows, and the stream that is the video.

Which stream: never a cover or a thumbnail; the default one; of several (or
none) the largest picture; the first of equals.
"""

import contextlib
import io
from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction

import av
from av.stream import Disposition

from data import remote
from data.film.told import Told
from data.remote import Path
from data.source import BadRecord

_PIXELS = 2**26  # of a frame, at most: twice those of 8K
# Demuxers that make a video of a text, a picture, or files named inside.
_LIST = 'a list of files: give those files'
_NOT_VIDEO = {
  'tty': 'a text',
  'image2': 'a picture: make a video of several, docs/data.md tells how',
  **dict.fromkeys(('hls', 'dash', 'concat', 'sdp'), _LIST),
}
# Beside the video: covers of albums, previews of a timeline, layers that a
# decoder of the plain video cannot show.
_BESIDE = (
  Disposition.attached_pic
  | Disposition.timed_thumbnails
  | Disposition.still_image
  | Disposition.dependent
)
# Codecs whose decoder tells which pictures are invented in part.
CONCEALED = frozenset({'h264', 'mpeg1video', 'mpeg2video', 'mpeg4'})
_OTHERS = 1000  # packets beside a single one that make it a thumbnail
_NO_TIMES = av.format.Flags.no_timestamps.value  # of raw streams


@contextlib.contextmanager
def opened(
  source: Path | bytes, told: Told | None = None
) -> Iterator[av.VideoStream]:
  """The video stream of a file, for `data.film.decoded`; closed on leaving.

  Args:
    source: path of a file of any container that FFmpeg knows, or its bytes.
    told: learns whether there was a choice.

  Raises:
    BadRecord: not a video; the reason is in the message.
  """
  with contextlib.ExitStack() as used:
    if isinstance(source, bytes):
      size = len(source)
    else:
      source = used.enter_context(remote.local(source))
      size = source.stat().st_size
    if not size:
      raise BadRecord('empty file')
    container = used.enter_context(_container(source))
    names = set(container.format.name.split(','))
    if why := _no_video(names):
      raise BadRecord(
        f'not a video: it reads as {container.format.name}, {why}'
      )
    streams = videos_of(container)
    single = set()
    # Many files do not say how many pictures a stream has.
    while len(streams) > 1 and _is_single(source, chosen(streams), streams):
      single.add(chosen(streams).index)
      streams = [each for each in streams if each.index not in single]
    stream = chosen(streams)
    if told and len(streams) + len(single) > 1:
      told.kinds['chosen'] += 1
    stream.thread_type = 'NONE'
    # A file of some bytes may say that its pictures fill the memory.
    options = {'max_pixels': str(_PIXELS)}
    # By default FFmpeg conceals damage; some decoders say of what pictures.
    if stream.codec_context.name not in CONCEALED:
      options['err_detect'] = 'explode'
    stream.codec_context.options = options
    yield stream


def _no_video(formats: Collection[str]) -> str:
  """Why a file that reads as these is none; '' if it may be one."""
  if any(name.endswith('_pipe') for name in formats):
    return _NOT_VIDEO['image2']
  return next((_NOT_VIDEO[name] for name in formats if name in _NOT_VIDEO), '')


def _container(source: Path | bytes) -> av.container.InputContainer:
  """What FFmpeg makes of a file."""
  try:
    # A playlist in disguise must not make us fetch what it names.
    # Titles are often in another encoding than they say: none is shown.
    return av.open(
      io.BytesIO(source) if isinstance(source, bytes) else str(source),
      container_options={'protocol_whitelist': 'file'},
      metadata_errors='replace',
    )
  except av.FFmpegError as error:
    raise BadRecord(f'not a video: {error.strerror}') from error


def _is_single(
  source: Path | bytes,
  stream: av.VideoStream,
  streams: Sequence[av.VideoStream],
) -> bool:
  """Whether a stream is a picture, and another one beside it a video."""
  own = others = 0
  indices = {each.index for each in streams}
  with contextlib.suppress(av.FFmpegError), _container(source) as container:
    for packet in container.demux(*sorted(indices)):
      if packet.size:
        own += packet.stream_index == stream.index
        others += packet.stream_index != stream.index
      if own > 1 or others >= _OTHERS:
        break
  return own == 1 and others > 1


def videos_of(
  container: av.container.InputContainer,
) -> Sequence[av.VideoStream]:
  """The streams of moving pictures.

  Raises:
    BadRecord: there is none.
  """
  streams = [
    stream
    for stream in container.streams.video
    if not stream.disposition & _BESIDE
  ]
  if not streams:
    raise BadRecord('no video stream')
  # A single picture beside a video is its thumbnail, whatever it says.
  return [stream for stream in streams if stream.frames != 1] or streams


def chosen(streams: Sequence[av.VideoStream]) -> av.VideoStream:
  """The one of `streams` that a player shows.

  Raises:
    BadRecord: FFmpeg has no decoder for any of them.
  """
  coded = [stream for stream in streams if stream.codec_context]
  if not coded:
    raise BadRecord('no decoder for its codec')
  # FFmpeg opens what it cannot decode, and says so at the first frame only.
  known = [stream for stream in coded if stream.codec_context.pix_fmt]
  if not known:
    raise BadRecord(f'no picture of its {coded[0].codec_context.name} decodes')
  return max(
    known,
    key=lambda stream: (
      bool(stream.disposition & Disposition.default),
      stream.width * stream.height,
    ),
  )


def is_raw(stream: av.VideoStream) -> bool:
  """Whether times are invented, as a raw stream has none."""
  return bool(stream.container.format.flags & _NO_TIMES)


def rates(stream: av.VideoStream) -> list[Fraction]:
  """Frames per second that the file may have, the likeliest first.

  FFmpeg guesses from what the stream itself says; the average is of the first
  packets, and of raw streams invented (25).
  """
  average, guess = stream.average_rate, stream.guessed_rate
  found = [guess] if is_raw(stream) else [average, guess, stream.base_rate]
  return [rate.limit_denominator(1001) for rate in found if rate]
