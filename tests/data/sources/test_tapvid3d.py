"""TAPVid-3D: files as its scripts write them, of points that are known."""

import cv2
import numpy as np
import pytest

from data import source
from data.inspect import check
from data.source import BadRecord
from data.sources import tapvid3d

FRAMES, HEIGHT, WIDTH, POINTS = 9, 24, 40, 5
LENS = np.array([30.0, 30.0, 19.0, 13.0])  # fx fy cx cy
SIZE = {'frames': 4, 'height': 12, 'width': 16, 'stride': 2, 'points': 4}


def example():
  """Points that move; 1 comes late, 2 goes behind, 4 is never seen."""
  rng = np.random.default_rng(0)
  place = rng.uniform(-0.3, 0.3, (FRAMES, POINTS, 3)) + np.array([0, 0, 1.5])
  seen = np.ones((FRAMES, POINTS), bool)
  seen[:4, 1], seen[5:, 2], seen[:, 4] = False, False, False
  place[5:, 2, 2] = -1
  place[:, 4] = np.nan
  jpegs = [
    cv2.imencode('.jpg', np.full((HEIGHT, WIDTH, 3), 20 * n % 240, np.uint8))[1]
    for n in range(FRAMES)
  ]
  asked = np.array([0, 4, 2, 3, 0], float)
  pixels = place[..., :2] / place[..., 2:] * LENS[:2] + LENS[2:]
  given = pixels[asked.astype(int), np.arange(POINTS)]
  return {
    'images_jpeg_bytes': [jpeg.tobytes() for jpeg in jpegs],
    'tracks_XYZ': place,
    'visibility': seen,
    'queries_xyt': np.c_[given, asked],
    'fx_fy_cx_cy': LENS,
  }


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  made = tmp_path_factory.mktemp('tapvid3d')
  for subset, name in (('pstudio', 'softball_1'), ('adt', 'meal_2')):
    (made / subset).mkdir()
    np.savez(made / subset / f'{name}.npz', **example())
  return made


def make(folder, **options):
  options = {'keys': tapvid3d.KEYS, **SIZE, **options}
  return source.make('tapvid3d', 'test', path=str(folder), **options)


def read(made, index=0):
  return made.read(index, np.random.default_rng(0))


def test_points_are_in_metres_and_where_the_camera_sees_them(folder):
  made = make(folder)
  assert isinstance(made, source.Source)
  assert [video.file.stem for video in made.videos] == ['meal_2', 'softball_1']
  clip, truth = read(made), example()
  assert check.faults(clip) == []
  # Asked for in frame 0: 0, 2 and 3; of the frames 0, 2, 4 and 6.
  rows, window = [0, 2, 3], [0, 2, 4, 6]
  place = truth['tracks_XYZ'][window][:, rows].swapaxes(0, 1)
  seen = truth['visibility'][window][:, rows].T
  np.testing.assert_allclose(clip['tracks_3d'][:3], place, rtol=1e-6)
  assert clip['tracks_visible'][:3].tolist() == seen.tolist()
  assert seen[1].tolist() == [True, True, True, False]
  assert not clip['tracks_visible'][3].any()
  assert not clip['query_frames'].any()
  pixels = place[..., :2] / place[..., 2:] * LENS[:2] + LENS[2:]
  np.testing.assert_allclose(
    clip['tracks'][:3][seen], (pixels / [WIDTH, HEIGHT])[seen], rtol=1e-5
  )
  assert not clip['tracks'][:3][~seen].any()
  # Of the picture as it was resized: the same pixels.
  lens = clip['intrinsics']
  local = clip['tracks_3d'][:3] @ lens.T
  again = local[..., :2] / local[..., 2:] / [SIZE['width'], SIZE['height']]
  np.testing.assert_allclose(again[seen], clip['tracks'][:3][seen], rtol=1e-5)
  np.testing.assert_allclose(
    clip['lens'] * [WIDTH, HEIGHT, WIDTH, HEIGHT], LENS, rtol=1e-6
  )
  greys = clip['video'][:, 6, 8, 0].astype(int)
  np.testing.assert_allclose(greys, [0, 40, 80, 120], atol=2)
  assert made.excluded == {'track without a query': 4}
  assert made.is_fixed


def test_queries_of_the_file_are_in_their_frames(folder):
  clip = read(make(folder, queries='given'))
  # Of frame 3 there is no picture in the clip; 4 is not visible.
  assert clip['query_frames'].tolist() == [0, 2, 1, 0]
  assert clip['tracks_visible'][:3].any(1).all()
  truth = example()['tracks_XYZ'][[0, 2, 4, 6]][:, [0, 1, 2]].swapaxes(0, 1)
  np.testing.assert_allclose(clip['tracks_3d'][:3], truth, rtol=1e-6)
  few = make(folder, points=2)
  assert few.excluded['track beyond the first 2'] == 2


def test_what_the_scripts_downloaded_is_left_out(folder, tmp_path):
  """They leave annotations of the same names without pictures in tmp."""
  (tmp_path / 'pstudio' / 'tmp' / 'data').mkdir(parents=True)
  whole = example()
  np.savez(tmp_path / 'pstudio' / 'ball_1.npz', **whole)
  del whole['images_jpeg_bytes']
  np.savez(tmp_path / 'pstudio' / 'tmp' / 'ball_1.npz', **whole)
  np.savez(tmp_path / 'pstudio' / 'tmp' / 'data' / 'init_pt_cld.npz', data=[1])
  made = make(tmp_path)
  assert [video.file.name for video in made.videos] == ['ball_1.npz']
  assert made.excluded['file of a folder tmp'] == 2
  # The folder itself may lie below one of that name.
  (tmp_path / 'tmp').mkdir()
  assert len(make((tmp_path / 'pstudio').rename(tmp_path / 'tmp' / 'x'))) == 1


def test_what_cannot_be_read_is_told(folder, tmp_path):
  for options, message in (
    ({'frames': 6}, "'video with fewer than 11 frames': 2"),
    ({'queries': 'first'}, "'first': expected one of frame0, given"),
    ({'queries': 'given', 'keys': ('tracks_3d',)}, 'tasks.points3d.query_fr'),
    ({'keys': ('depth',)}, 'depth'),
  ):
    with pytest.raises(ValueError, match=message):
      make(folder, **options)
  with pytest.raises(ValueError, match="only the split 'test'"):
    source.make('tapvid3d', 'train', path=str(folder), keys=('video',))
  with pytest.raises(ValueError, match='no video of'):
    make(tmp_path)
  for change, message in (
    (
      {'queries_xyt': np.zeros((2, 3))},
      r'queries_xyt \(2, 3\) of float64, exp',
    ),
    ({'visibility': np.full((FRAMES, POINTS), 'x')}, 'visibility .* of <U1'),
    (
      {'fx_fy_cx_cy': np.array([0.0, 1, 2, 3])},
      'fx_fy_cx_cy .*, expected focal',
    ),
    (
      {'queries_xyt': np.full((POINTS, 3), np.nan)},
      'queries_xyt without a frame',
    ),
    ({'images_jpeg_bytes': [b'x'] * 3}, '3 JPEGs in .*, expected 9'),
    ({'images_jpeg_bytes': None}, 'no JPEGs in .*, expected 9: make it again'),
  ):
    arrays = {k: v for k, v in (example() | change).items() if v is not None}
    np.savez(tmp_path / 'a.npz', **arrays)
    with pytest.raises(ValueError, match=rf'a\.npz has {message}'):
      make(tmp_path)
  np.savez(tmp_path / 'a.npz', **example())
  made = make(tmp_path)
  torn = example()
  torn['images_jpeg_bytes'][2] = b'no picture'
  np.savez(tmp_path / 'a.npz', **torn)
  with pytest.raises(BadRecord, match=r'a\.npz: .*not a picture'):
    read(made)
  (tmp_path / 'a.npz').unlink()
  with pytest.raises(BadRecord, match='No such file'):
    read(made)
