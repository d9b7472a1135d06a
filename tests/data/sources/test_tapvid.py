"""TAP-Vid: the published pickles, made small."""

import pickle
import shutil

import cv2
import numpy as np
import pytest

from data import source
from data.inspect import check
from data.source import BadRecord
from data.sources import tapvid

HEIGHT, WIDTH = 20, 36
POINTS = ('video', 'tracks', 'tracks_visible')
SIZE = {'frames': 4, 'height': 16, 'width': 24, 'points': 5}


def video(total=9, height=HEIGHT, width=WIDTH):
  """Frame i is of grey 10 i, and red where x is small."""
  frames = np.empty((total, height, width, 3), np.uint8)
  frames[:] = 10 * np.arange(total)[:, None, None, None]
  frames[:, :, : width // 4, 0] = 255
  return frames


def example(total=9, tracks=3, seed=0):
  """As TAP-Vid has it; track i is occluded in frame i and 8."""
  rng = np.random.default_rng(seed)
  occluded = np.zeros((tracks, total), bool)
  occluded[np.arange(min(tracks, total)), np.arange(min(tracks, total))] = True
  occluded[:, 8:] = True
  return {
    'video': video(total),
    'points': rng.uniform(size=(tracks, total, 2)).astype(np.float32),
    'occluded': occluded,
  }


def write(file, data):
  file.parent.mkdir(exist_ok=True)
  file.write_bytes(pickle.dumps(data))
  return file


def make(path, **options):
  options = {'keys': POINTS, **SIZE, **options}
  return tapvid.make('test', path=str(path), **options)


def read(made, index=0):
  return made.read(index, np.random.default_rng(0))


@pytest.fixture
def davis(tmp_path):
  data = {'goat': example(), 'car': example(tracks=7, seed=1)}
  return write(tmp_path / 'tapvid_davis.pkl', data)


def test_reads_davis_by_the_name_of_the_module(davis):
  made = source.make('tapvid', 'test', path=str(davis), keys=POINTS, **SIZE)
  assert isinstance(made, source.Source)
  assert [video.name for video in made.videos] == ['goat', 'car']
  clip = read(made)
  assert clip.keys() == {'video', 'tracks', 'tracks_visible'}
  assert clip['video'].shape == (4, 16, 24, 3)
  assert clip['video'].dtype == np.uint8
  assert clip['tracks'].shape == (5, 4, 2)
  assert clip['tracks'].dtype == np.float32
  assert clip['tracks_visible'].shape == (5, 4)
  assert read(make(davis, keys=('tracks',))).keys() == {'tracks'}


def test_the_clip_is_the_first_frames(davis):
  grey = [0, 10, 20, 30]
  assert read(make(davis))['video'][:, 3, 20, 1].tolist() == grey
  strided = read(make(davis, stride=2))
  assert strided['video'][:, 3, 20, 1].tolist() == [0, 20, 40, 60]
  expected = example()
  np.testing.assert_array_equal(
    strided['tracks'][0], expected['points'][1, :7:2]
  )
  assert (~strided['tracks_visible'][:2]).tolist() == (
    expected['occluded'][1:, :7:2].tolist()
  )


def test_the_whole_picture_is_resized(davis):
  """So that normalised coordinates stay what they are: x before y."""
  clip = read(make(davis))
  assert (clip['video'][:, :, :6, 0] == 255).all()
  assert (clip['video'][:, :, 6:, 0] < 255).all()
  np.testing.assert_array_equal(clip['tracks'][0], example()['points'][1, :4])


def test_tracks_that_start_later_are_padding(davis):
  made = make(davis)
  clip, points = read(made), example()['points']
  assert clip['tracks_visible'][:, 0].tolist() == [True] * 2 + [False] * 3
  np.testing.assert_array_equal(clip['tracks'][:2], points[1:, :4])
  assert not clip['tracks'][2:].any()
  assert not clip['tracks_visible'][2:].any()
  many = read(made, 1)  # seven tracks, of which the first starts later
  points = example(tracks=7, seed=1)['points']
  np.testing.assert_array_equal(many['tracks'], points[1:6, :4])
  assert made.excluded == {
    'track not seen in the first frame': 2,
    'track beyond the first 5': 1,
  }


def test_videos_without_a_clip_are_counted(tmp_path):
  late = example()
  late['occluded'][:, 0] = True
  data = {'short': example(total=8), 'late': late, 'good': example(total=10)}
  made = make(write(tmp_path / 'a.pkl', data), frames=9)
  assert [video.name for video in made.videos] == ['good']
  assert made.excluded == {
    'video with fewer than 9 frames': 1,
    'video without a track seen in the first frame': 1,
    'track not seen in the first frame': 1,
  }
  with pytest.raises(ValueError, match='fewer than 11 frames'):
    make(tmp_path / 'a.pkl', frames=11)


def test_queries_are_of_the_first_or_of_each_fifth_frame(tmp_path):
  """Track i is hidden in frame i; the third one up to there."""
  data = example(total=8)
  data['occluded'][2, :2] = True
  file = write(tmp_path / 'a.pkl', {'goat': data})
  keys = tapvid.KEYS

  def asked(queries, **options):
    made = make(file, queries=queries, frames=8, keys=keys, **options)
    clip = read(made)
    assert check.faults(clip) == []
    seen = clip['tracks_visible'].any(1)
    rows = [
      int(np.flatnonzero((data['points'] == track).all((1, 2)))[0])
      for track in clip['tracks'][seen]
    ]
    frames = clip['query_frames']
    assert not frames[~seen].any()
    assert clip['tracks_visible'][seen, frames[seen]].all()
    return list(zip(rows, frames[seen].tolist())), made.excluded

  assert asked('frame0') == ([(1, 0)], {'track not seen in the first frame': 2})
  assert asked('first') == ([(0, 1), (1, 0), (2, 3)], {})
  assert asked('strided', stride=1) == ([(1, 0), (0, 5), (1, 5), (2, 5)], {})
  two = asked('strided', points=2)
  assert two == ([(1, 0), (0, 5)], {'query beyond the first 2': 2})
  data['occluded'][1] = True
  write(file, {'goat': data})
  lost = {'track not seen in the clip': 1}
  assert asked('first') == ([(0, 1), (2, 3)], lost)
  with pytest.raises(ValueError, match="does not look at 'query_frames'"):
    make(file, queries='first')
  with pytest.raises(ValueError, match="queries of tapvid 'last'"):
    make(file, queries='last')


def test_lists_are_rgb_stacking(tmp_path):
  file = write(tmp_path / 'tapvid_rgb_stacking.pkl', [example(), example()])
  made = make(file)
  names = [video.name for video in made.videos]
  assert names == ['tapvid_rgb_stacking/0', 'tapvid_rgb_stacking/1']
  np.testing.assert_array_equal(
    read(made)['tracks'][0], example()['points'][1, :4]
  )


def test_several_dicts_are_robotap(tmp_path):
  for split in (1, 0):
    data = {f'video_{split}': example(seed=split)}
    write(tmp_path / f'robotap_split{split}.pkl', data)
  made = make(tmp_path)
  assert [video.name for video in made.videos] == ['video_0', 'video_1']


@pytest.mark.parametrize('other', ['tapvid_rgb_stacking', 'robotap_split0'])
def test_two_benchmarks_are_not_one_test(other, tmp_path):
  davis = write(tmp_path / 'tapvid_davis.pkl', {'goat': example()})
  write(tmp_path / f'{other}.pkl', [example(seed=1)])
  with pytest.raises(ValueError, match='several benchmarks') as error:
    make(tmp_path)
  for said in ('tapvid_davis.pkl', f'{other}.pkl', 'name one, as path='):
    assert said in str(error.value)
  assert [video.name for video in make(davis).videos] == ['goat']


def kinetics(folder, shards=3, per_shard=1):
  """As generate_tapvid.py writes it; the true points of each example."""
  truth = []
  for shard in range(shards):
    data = []
    for number in range(per_shard):
      made = example(seed=10 * shard + number)
      jpegs = [
        cv2.imencode('.jpg', frame[..., ::-1])[1].tobytes()
        for frame in made['video']
      ]
      truth.append(made['points'].astype(np.float64))
      size = np.array([WIDTH, HEIGHT])
      shifted = (truth[-1] * size - 0.5) / size
      data.append({**made, 'video': np.array(jpegs), 'points': shifted})
    write(folder / f'{shard:04}_of_{shards:04}.pkl', data)
  return truth


@pytest.mark.parametrize('back', [False, True])
def test_points_of_kinetics_are_as_stored_or_shifted_back(tmp_path, back):
  truth = kinetics(tmp_path / 'kinetics', per_shard=2)
  made = make(tmp_path / 'kinetics', shift_back=back)
  assert len(made) == 6
  # Published numbers are of points half a pixel to the left and above.
  shift = 0 if back else 0.5 / np.array([WIDTH, HEIGHT])
  for index, points in enumerate(truth):
    clip = read(made, index)
    np.testing.assert_allclose(
      clip['tracks'][:2], points[1:, :4] - shift, rtol=0, atol=1e-6
    )
    assert not clip['tracks'][2:].any()  # padding is not shifted


def test_kinetics_is_decoded_in_colour(tmp_path):
  kinetics(tmp_path / 'kinetics')
  clip = read(make(tmp_path / 'kinetics'))
  assert clip['video'].shape == (4, 16, 24, 3)
  red, green, blue = clip['video'][0, 8, 2].astype(int)
  assert red > 230
  assert max(green, blue) < 30
  greys = clip['video'][:, 8, 18, 1]
  np.testing.assert_allclose(greys, [0, 10, 20, 30], atol=3)


def test_reading_twice_gives_the_same(tmp_path):
  """The published reader scales the points of Kinetics in place."""
  kinetics(tmp_path / 'kinetics')
  made = make(tmp_path / 'kinetics')
  np.testing.assert_array_equal(read(made)['tracks'], read(made)['tracks'])
  assert made.is_fixed


def test_a_missing_part_of_kinetics_is_told(tmp_path):
  kinetics(tmp_path / 'kinetics')
  (tmp_path / 'kinetics' / '0001_of_0003.pkl').unlink()
  with pytest.raises(ValueError, match=r'2 files .* one of \[3\]'):
    make(tmp_path / 'kinetics')


def test_damaged_jpegs_are_a_bad_record(tmp_path):
  kinetics(tmp_path / 'kinetics', shards=1)
  file = tmp_path / 'kinetics' / '0000_of_0001.pkl'
  data = pickle.loads(file.read_bytes())
  data[0]['video'][2] = b'\xff\xd8no jpeg'
  made = make(write(file, data))
  with pytest.raises(BadRecord, match=r'0000_of_0001/0.*not a picture'):
    read(made)


def test_code_in_a_pickle_is_refused(tmp_path):
  class Bad:
    def __reduce__(self):
      return print, ('run',)

  file = write(tmp_path / 'a.pkl', {'goat': example()})
  file.write_bytes(pickle.dumps({'goat': Bad()}))
  with pytest.raises(ValueError, match=r'asks for builtins\.print'):
    make(file)


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_there_is_only_a_test_split(davis, split):
  with pytest.raises(ValueError, match="only the split 'test'"):
    tapvid.make(split, path=str(davis), keys=POINTS)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'keys': ('video', 'depth')}, 'depth'),
    ({'stride': 0}, 'stride=0'),
    ({'points': 0}, 'points=0'),
  ],
)
def test_bad_options_are_told(davis, options, message):
  with pytest.raises(ValueError, match=message):
    make(davis, **options)


@pytest.mark.parametrize(
  ('data', 'message'),
  [
    ('text', 'holds a str'),
    ([['video']], 'lacks one of'),
    ({'goat': {'video': video(), 'points': 0}}, 'goat lacks one of'),
    ([{**example(), 'points': np.zeros((3, 2, 9))}], r'points \(3, 2, 9\)'),
    ([{**example(), 'occluded': np.zeros((3, 9))}], 'of bool'),
    ([{**example(), 'video': video(8)}], '8 frames'),
    ([{**example(), 'video': video(0)}], '0 frames'),
    ([{**example(), 'video': video() / 255}], 'uint8'),
    ([{**example(), 'video': 3}], '-1 frames'),
    ([{**example(), 'video': [b'x', *[2**40] * 8]}], 'expected uint8 or JPEG'),
    ([{**example(), 'points': np.full((3, 9, 2), 'x')}], r'points \(3, 9, 2\)'),
  ],
)
def test_other_pickles_are_told(tmp_path, data, message):
  with pytest.raises(ValueError, match=message):
    make(write(tmp_path / 'a.pkl', data))


def test_points_that_are_no_numbers(tmp_path):
  """Some write them where nothing is seen; elsewhere they are wrong."""
  whole, hidden = example(), example()
  hidden['points'][hidden['occluded']] = np.nan
  found = [
    read(make(write(tmp_path / 'a.pkl', [each]))) for each in (whole, hidden)
  ]
  for each in found:
    assert check.faults(each) == []
  seen = found[0]['tracks_visible']
  for key in found[0]:
    np.testing.assert_array_equal(
      *(each[key][seen] if key == 'tracks' else each[key] for each in found)
    )
  hidden['points'][1, 0] = np.inf
  with pytest.raises(
    ValueError, match='a/0 has a point that is seen and not f'
  ):
    make(write(tmp_path / 'a.pkl', [hidden]))


def test_no_files_are_told(tmp_path):
  with pytest.raises(ValueError, match=r'no folder with \*\.pkl files'):
    make(tmp_path)


def test_the_fingerprint_is_of_what_is_asked_not_of_where_it_lies(
  davis, tmp_path
):
  moved = tmp_path / 'moved'
  moved.mkdir()
  shutil.copy(davis, moved)
  same = make(moved / davis.name).fingerprint
  assert same == make(davis).fingerprint
  data = {'goat': example(), 'car': example(tracks=7, seed=2)}
  other = write(moved / 'tapvid_davis.pkl', data)
  assert make(other).fingerprint != same
