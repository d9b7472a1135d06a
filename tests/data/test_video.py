import dataclasses
import io

import av
import cv2
import numpy as np
import pytest

from data import video
from data.source import BadRecord
from data.transforms import Box


@pytest.fixture(scope='module')
def every_frame(film_record):
  """The record's mp4 as a plain PyAV loop sees it."""
  with av.open(io.BytesIO(film_record.payload)) as container:
    return list(container.decode(video=0))


@pytest.mark.parametrize(
  'frames',
  [
    [0],
    [49],
    [15, 16, 17],
    [3, 7, 11, 45],
    [30, 2, 2, 49, 49],  # in any order, repeated
    list(range(1, 50, 3)),
    list(range(50)),
  ],
)
def test_decode_is_bit_exact(film_record, every_frame, frames):
  decoded = video.decode(film_record, np.array(frames))
  for number, frame in zip(frames, decoded, strict=True):
    np.testing.assert_array_equal(
      frame.to_ndarray(), every_frame[number].to_ndarray()
    )


def test_decode_skips_what_nobody_needs(film_record):
  packets = film_record.packets
  # Frame 46 needs the keyframe 32 and the reference frames after it.
  rows = video.needed(packets, np.array([46]))
  assert packets['frame'][rows].tolist() == [32, 36, 40, 44, 47, 46]
  # A group without a wanted frame is not decoded at all.
  rows = video.needed(packets, np.array([1, 33]))
  assert packets['frame'][rows].tolist() == [0, 4, 1, 32, 36, 33]


def test_decode_refuses_frames_outside(film_record):
  with pytest.raises(ValueError, match='ask for 0 to 49'):
    video.decode(film_record, np.array([50]))


def test_decode_names_the_record_when_frames_are_missing(film_record):
  empty = dataclasses.replace(film_record, payload=bytes(10**6), start=320)
  with pytest.raises(BadRecord, match=r'a\.mp4 from frame 320'):
    video.decode(empty, np.array([5]))


def test_render_agrees_with_converting_first(every_frame):
  frames = every_frame[:3]
  box = Box(6, 10, 30, 40)
  ours = video.render(frames, box, 24, 32)
  for frame, picture in zip(frames, ours):
    whole = frame.to_ndarray(format='rgb24')[6:36, 10:50]
    other = cv2.resize(whole, (32, 24)).astype(int)
    assert np.abs(picture - other).mean() < 5  # chroma, interpolated


@pytest.mark.parametrize('size', [(25, 40), (25, 41), (11, 15)])
def test_render_flips(every_frame, size):
  box = Box(0, 0, 48, 64)
  plain = video.render(every_frame[:2], box, *size)
  flipped = video.render(every_frame[:2], box, *size, flip=True)
  difference = flipped[:, :, ::-1].astype(int) - plain
  assert np.abs(difference).max() <= 2  # chroma is interpolated


@pytest.mark.parametrize('size', [(21, 33), (1, 1), (96, 128)])
def test_render_has_any_size(every_frame, size):
  shown = video.render(every_frame[:2], Box(1, 3, 45, 61), *size)
  assert shown.shape == (2, *size, 3)
  assert shown.dtype == np.uint8


def test_small_renders_average_what_they_cover(every_frame):
  whole = video.render(every_frame[:1], Box(0, 0, 48, 64), 48, 64)
  small = video.render(every_frame[:1], Box(0, 0, 48, 64), 6, 8)
  blocks = whole.reshape(6, 8, 8, 8, 3).mean((1, 3))
  assert np.abs(small[0] - blocks).mean() < 3
