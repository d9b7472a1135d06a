"""Frames of any colours to RGB or to BT.601, upright, of any size."""

import threading

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter
from jaxtyping import UInt8

from data.film import light, shape
from data.source import BadRecord

_BT601, _BT709, _BT2020 = 5, 1, 9  # of swscale; the same in H.273
# By ITU-T H.273, table 4: unspecified, reserved, or derived from primaries
# that are those of BT.709 nearly always.
_UNKNOWN = frozenset({2, 3, 12})
_UNREAD = {
  **{8: 'YCgCo', 10: 'BT.2020 of constant luminance', 11: "Y'D'zD'x"},
  **{13: 'derived, of constant luminance', 14: 'ICtCp', 15: 'IPT-C2'},
  **{16: 'YCgCo-Re', 17: 'YCgCo-Ro'},
}
_WIDE = frozenset(
  {ColorPrimaries.BT2020, ColorPrimaries.SMPTE431, ColorPrimaries.SMPTE432}
)
_HDR = frozenset({ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67})
_DOLBY = 'DOVI_METADATA'
_HD = 1280, 576  # pixels: untagged video that is larger is BT.709

_local = threading.local()


def kind(frame: av.VideoFrame) -> str:
  """'hdr' or 'wide' (of `told.KINDS`) where more than a matrix is needed.

  Raises:
    BadRecord: the colours cannot be read; the reason is in the message.
  """
  if frame.colorspace in _UNREAD:
    raise BadRecord(
      f'its colours are {_UNREAD[frame.colorspace]}, which is not read'
    )
  if frame.color_trc in _HDR:
    return 'hdr'
  untagged = frame.color_trc == ColorTrc.UNSPECIFIED
  if untagged and '10' in frame.format.name and _DOLBY in frame.side_data:
    raise BadRecord(
      'its colours are those of Dolby Vision alone (profile 5), which is not '
      'read'
    )
  return 'wide' if frame.color_primaries in _WIDE else ''


def upright(
  frame: av.VideoFrame, height: int, width: int
) -> UInt8[np.ndarray, '{height} {width} 3']:
  """RGB of any frame, turned as its file says, resized to height x width.

  Raises:
    BadRecord: the colours cannot be read.
  """
  how = shape.turn(frame)
  picture = _converted(frame, how, height, width, 'rgb24', 'JPEG').to_ndarray()
  return np.ascontiguousarray(shape.turned(picture, how))


def upright_planes(
  frame: av.VideoFrame, height: int, width: int
) -> av.VideoFrame:
  """As `upright`, but in yuv420p, BT.601 of limited range; even sizes."""
  how = shape.turn(frame)
  result = _converted(frame, how, height, width, 'yuv420p', 'MPEG')
  if how == shape.UPRIGHT:
    return result
  planes = [
    shape.turned(
      np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[
        : plane.height, : plane.width
      ],
      how,
    ).reshape(-1)
    for plane in result.planes
  ]
  planar = np.concatenate(planes).reshape(height * 3 // 2, width)
  return av.VideoFrame.from_ndarray(planar, 'yuv420p')


def _converted(
  frame: av.VideoFrame,
  how: shape.Turn,
  height: int,
  width: int,
  pixels: str,
  levels: str,
) -> av.VideoFrame:
  """The frame, not yet turned, such that it is height x width once it is."""
  if how.swaps:
    height, width = width, height
  space = frame.colorspace
  if kind(frame):
    picture = _light(frame, height, width)
    return av.VideoFrame.from_ndarray(picture, 'rgb24').reformat(
      **{'format': pixels, 'dst_colorspace': _BT601, 'threads': 1},
      **{'dst_color_range': levels},
    )
  if space in _UNKNOWN:
    space = _assumed(frame)
  return _scaled(frame, height, width, pixels, space, _BT601, levels)


def _assumed(frame: av.VideoFrame) -> int:
  """The matrix of an untagged frame, as players do: of a large one BT.709."""
  long, short = sorted((frame.width, frame.height), reverse=True)
  return _BT709 if long >= _HD[0] or short > _HD[1] else _BT601


def _light(
  frame: av.VideoFrame, height: int, width: int
) -> UInt8[np.ndarray, '{height} {width} 3']:
  """RGB of what swscale cannot convert."""
  space = frame.colorspace
  if space in _UNKNOWN:
    space = _BT2020
  coded = _scaled(frame, height, width, 'rgb48le', space, _BT709, 'JPEG')
  coded = coded.to_ndarray()
  if frame.color_trc in _HDR:
    return light.from_hdr(
      *(coded, frame.color_trc == ColorTrc.SMPTE2084),
      *(frame.color_primaries, light.brightest(frame)),
    )
  return light.from_wide(coded, frame.color_primaries)


def _scaled(
  frame: av.VideoFrame,
  height: int,
  width: int,
  pixels: str,
  space: int,
  to: int,
  levels: str,
) -> av.VideoFrame:
  # One that is used again knows its tables; one for each thread.
  if not hasattr(_local, 'reformatter'):
    _local.reformatter = VideoReformatter()
  try:
    return _local.reformatter.reformat(
      frame,
      width=width,
      height=height,
      format=pixels,
      src_colorspace=space,
      dst_colorspace=to,
      dst_color_range=levels,
      # Averages where it shrinks: bilinear would skip pixels.
      interpolation='AREA',
      # Parallel are the workers.
      threads=1,
    )
  except av.FFmpegError as error:
    raise BadRecord(
      f'its pixels cannot be converted: {frame.format.name} of matrix '
      f'{frame.colorspace}: {error.strerror}'
    ) from error
