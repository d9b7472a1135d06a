"""Perception Test: annotations as published, beside tiny videos."""

import json

import numpy as np
import pytest

from data import source
from data.source import BadRecord
from data.sources.perception_test import source as perception_test

TOTAL, HEIGHT, WIDTH = 46, 48, 64  # of the videos; they hold greys 20 + 5 i
SIZE = {'frames': 4, 'height': 16, 'width': 24, 'points': 3, 'objects': 2}


def point(number, frames):
  """A track whose x and y tell its number and the frame."""
  ys = [0.5 + frame / 1000 for frame in frames]
  xs = [number / 10 + frame / 1000 for frame in frames]
  return {
    'id': number,
    'label': 'corner',
    'parent_objects': [0],
    'frame_ids': list(frames),
    'points': [ys, xs],
  }


def box(number, frames, masked=()):
  """As `point`: x1 y1 x2 y2."""
  boxes = [[number / 10, 0.2, 0.5, 0.6 + frame / 1000] for frame in frames]
  return {
    'id': number,
    'label': 'cup',
    'is_occluder': 0,
    'bounding_boxes': boxes,
    'initial_tracking_box': [1] + [0] * (len(boxes) - 1),
    'frame_ids': list(frames),
    'timestamps': [frame * 33333 for frame in frames],
    'is_masked': [int(frame in masked) for frame in frames],
  }


def entry(name, split='valid', points=(), objects=(), cups=False):
  metadata = {
    'split': split,
    'video_id': name,
    'frame_rate': 30.0,
    'num_frames': TOTAL,
    'resolution': [HEIGHT, WIDTH],
    'is_camera_moving': False,
    'is_cup_game': cups,
  }
  return {
    'metadata': metadata,
    'point_tracking': list(points),
    'object_tracking': list(objects),
    'mc_question': [],
  }


ENTRIES = [
  entry(
    'video_1',
    points=[point(1, range(7, 12)), point(2, range(5, 40)), point(3, [9, 45])],
    objects=[box(1, [0, 30]), box(2, [30]), box(3, [0, 15, 30, 45])],
  ),
  entry('video_2', points=[point(4, range(46))]),
  entry('video_3', objects=[box(4, [0, 30])]),
  entry('video_4', 'train', points=[point(i, range(46)) for i in range(1, 6)]),
]


def write(folder, entries=ENTRIES, name='all_valid.json'):
  folder.mkdir(exist_ok=True)
  described = {each['metadata']['video_id']: each for each in entries}
  (folder / name).write_text(json.dumps(described))
  return folder


@pytest.fixture(scope='module')
def folder(film, tmp_path_factory):
  made = write(tmp_path_factory.mktemp('perception'))
  write(made, name='all_train.json')
  (made / 'videos').mkdir()
  film.write(
    made / 'videos' / 'video_1.mp4',
    film.greys(TOTAL),
    rate=30,
    options={'g': '12', 'bf': '2'},
  )
  for number in (2, 3, 4):
    copy = made / 'videos' / f'video_{number}.mp4'
    copy.write_bytes((made / 'videos' / 'video_1.mp4').read_bytes())
  return made


POINTS = ('video', 'tracks', 'tracks_visible')
BOXES = ('video', 'boxes', 'boxes_visible')


def make(folder, split='validation', **options):
  options = {'keys': POINTS, **SIZE, **options}
  return perception_test.make(split, path=str(folder), **options)


def rng(seed=0):
  return np.random.default_rng(seed)


def numbers(film, clip):
  """Which frames of the file are shown."""
  return list(map(film.number, clip['video']))


def test_reads_by_the_name_of_the_module(folder):
  made = source.make(
    'perception_test', 'validation', path=str(folder), keys=POINTS, **SIZE
  )
  assert isinstance(made, source.Source)
  assert len(made) == 2
  clip = made.read(0, rng())
  assert clip.keys() == set(POINTS)
  assert clip['video'].shape == (4, 16, 24, 3)
  assert clip['tracks'].shape == (3, 4, 2)
  assert clip['tracks'].dtype == np.float32
  assert clip['tracks_visible'].dtype == bool


def test_the_clip_starts_at_the_first_annotated_frame(folder, film):
  made = make(folder, stride=3)
  clip = made.read(0, rng(1))
  assert numbers(film, clip) == [5, 8, 11, 14]
  again = made.read(0, rng(2))
  assert made.is_fixed
  assert not make(folder, 'train').is_fixed
  for key in POINTS:
    np.testing.assert_array_equal(clip[key], again[key])


def test_points_are_stored_ys_before_xs(folder):
  clip = make(folder, stride=3).read(0, rng())
  frames = np.array([5, 8, 11, 14]) / 1000
  x, y = clip['tracks'][0].T
  np.testing.assert_allclose(x, 0.2 + frames, rtol=1e-6)
  np.testing.assert_allclose(y, 0.5 + frames, rtol=1e-6)
  assert clip['tracks_visible'][0].all()


def test_rows_that_start_later_are_padding(folder):
  clip = make(folder, stride=3).read(0, rng())  # point 1 starts at 7
  assert not clip['tracks'][1:].any()
  assert not clip['tracks_visible'][1:].any()


def test_frames_without_an_annotation_are_not_visible(folder):
  made = make(folder, 'validation', stride=1)
  video = made.videos[0]
  values, seen = video.labels['tracks'].at(np.array([9, 11, 13, 45]))
  assert seen.tolist() == [
    [True, True, False, False],
    [True, True, True, False],
    [True, False, False, True],
  ]
  assert not values[~seen].any()


def test_boxes_are_annotated_once_a_second(folder, film):
  made = make(folder, keys=BOXES, stride=15)
  assert len(made) == 2
  clip = made.read(0, rng())
  assert numbers(film, clip) == [0, 15, 30, 45]
  assert clip['boxes_visible'].tolist() == [
    [True, False, True, False],
    [True, True, True, True],
  ]
  x1, y1, x2 = 0.1, 0.2, 0.5
  np.testing.assert_allclose(
    clip['boxes'][0],
    [[y1, x1, 0.6, x2], [0] * 4, [y1, x1, 0.63, x2], [0] * 4],
    rtol=1e-6,
  )


def test_a_masked_object_is_not_visible_in_a_game_of_cups(folder, tmp_path):
  objects = [box(1, [0, 15, 30, 45], masked=[15])]
  for cups in (True, False):
    entries = [entry('video_1', objects=objects, cups=cups)]
    made = make(
      write(tmp_path / 'a', entries),
      keys=BOXES,
      stride=15,
      videos=str(folder / 'videos'),
    )
    assert made.read(0, rng())['boxes_visible'][0, 1] != cups


def test_training_starts_where_something_is_annotated(folder, film, tmp_path):
  entries = [{**ENTRIES[0], 'metadata': ENTRIES[3]['metadata']}]
  made = make(
    write(tmp_path / 'a', entries, 'all_train.json'),
    'train',
    stride=2,
    videos=str(folder / 'videos'),
  )
  clips = [made.read(0, rng(seed)) for seed in range(25)]
  starts = {numbers(film, clip)[0] for clip in clips}
  assert starts <= set(range(5, 38))
  assert len(starts) > 10
  for clip in clips:
    first, second, *_ = numbers(film, clip)
    assert second == first + 2
    assert clip['tracks_visible'][0, 0]
    frame = clip['tracks'][0, 0, 1] - 0.5
    assert round(1000 * float(frame)) == first


def test_points_and_boxes_together(folder, tmp_path):
  """Only from where both are annotated, and again later."""
  keys = ('tracks', 'boxes', 'boxes_visible')
  with pytest.raises(ValueError, match='without such a clip'):
    make(folder, keys=keys, stride=15)  # boxes at 0, points from 5 on
  entries = [
    entry(
      'video_1', points=[point(1, range(3, 46))], objects=[box(1, [15, 30])]
    )
  ]
  both = write(tmp_path / 'a', entries)
  made = make(both, keys=keys, stride=5, videos=str(folder / 'videos'))
  clip = made.read(0, rng())
  assert clip.keys() == set(keys)
  assert clip['boxes_visible'][0].tolist() == [True, False, False, True]
  assert round(1000 * float(clip['tracks'][0, 0, 1] - 0.5)) == 15


def test_what_is_left_out_is_counted(folder, tmp_path):
  copy = write(
    tmp_path / 'a', [*ENTRIES, entry('video_9', points=[point(1, [0, 1])])]
  )
  made = make(copy, videos=str(folder / 'videos'))
  folder_name = folder / 'videos'
  assert made.excluded == {
    'video without tracks': 1,
    f'video not in {folder_name}': 1,
  }
  late = [entry('video_1', points=[point(1, [44, 45])]), ENTRIES[1]]
  made = make(write(tmp_path / 'b', late), videos=str(folder / 'videos'))
  assert made.excluded == {'video without such a clip': 1}


def test_more_rows_than_asked_for_are_left_out(folder):
  made = make(folder, 'train', keys=('tracks',))
  assert made.excluded == {'track beyond the first 3': 2}
  clip = made.read(0, rng())
  assert clip.keys() == {'tracks'}
  boxes = make(folder, keys=BOXES, stride=15, objects=1)
  assert boxes.excluded['box beyond the first 1'] == 1  # of video 1
  tens = np.floor(clip['tracks'][:, 0, 0] * 10 + 1e-3).tolist()
  assert tens == [1, 2, 3]


def test_a_damaged_or_shorter_video_is_a_bad_record(folder, film, tmp_path):
  videos = tmp_path / 'videos'
  videos.mkdir()
  film.write(videos / 'video_1.mp4', film.greys(12), rate=30)
  (videos / 'video_2.mp4').write_bytes(b'no video')
  made = make(folder, videos=str(videos))
  made.read(0, rng())  # frames 5 to 11
  with pytest.raises(BadRecord, match=r'video_2\.mp4: not a video'):
    made.read(1, rng())
  longer = make(folder, videos=str(videos), stride=3)
  with pytest.raises(
    BadRecord, match=r'12 frames, frame 14 is annotated: that is at 0\.47 s'
  ):
    longer.read(0, rng())
  (videos / 'video_2.mp4').unlink()
  with pytest.raises(BadRecord, match='No such file'):
    made.read(1, rng())
  whole = (folder / 'videos' / 'video_1.mp4').read_bytes()
  (videos / 'video_1.mp4').write_bytes(whole[: len(whole) // 2])
  with pytest.raises(BadRecord, match=r'video_1\.mp4'):
    made.read(0, rng())


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'split': 'valid'}, "split of .* 'valid': expected one of train, val"),
    ({'split': 'test'}, r'all_test\.json is missing'),
    ({'keys': ('video', 'depth')}, 'depth'),
    ({'stride': 0}, 'stride=0'),
    ({'keys': BOXES, 'stride': 2}, 'stride=15 or 30'),
    ({'frames': 47}, 'without such a clip'),
  ],
)
def test_bad_options_are_told(folder, options, message):
  with pytest.raises(ValueError, match=message):
    make(folder, **options)


def test_annotations_of_another_split_are_told_as_that(folder):
  with pytest.raises(ValueError, match='no entry of ') as error:
    make(folder, 'test', annotations='all_valid.json')
  said = str(error.value)
  for part in ("is of 'test'", "3 of 'valid', 1 of 'train'", 'annotations='):
    assert part in said
  assert said.endswith("as 'test', with test=train or test=valid")
  assert 'stride' not in said


def test_another_split_of_the_data_set_may_be_the_test(folder):
  tested = make(folder, 'test', test='valid')
  names = [video.file.stem for video in tested.videos]
  assert names == [video.file.stem for video in make(folder).videos]
  # Then validation is held out of training.
  parts = [
    {
      video.file.stem
      for video in make(
        folder, split, train='valid', validation='', validation_fraction=0.5
      ).videos
    }
    for split in ('train', 'validation')
  ]
  assert all(parts)
  assert not parts[0] & parts[1]
  assert parts[0] | parts[1] == {*names}


def test_annotations_without_an_entry_are_told(tmp_path):
  with pytest.raises(ValueError, match='has no entry: copy it again'):
    make(write(tmp_path / 'a', []))


def test_a_longer_stride_is_advised_where_it_helps_only(folder, tmp_path):
  with pytest.raises(ValueError, match='with videos=') as error:
    make(folder, keys=BOXES, videos='elsewhere')
  assert 'stride=15' not in str(error.value)


def test_an_absolute_file_of_annotations_is_taken(folder, tmp_path):
  file = write(tmp_path / 'a') / 'all_valid.json'
  assert len(make(folder, annotations=str(file))) == len(make(folder))


def test_points_in_the_order_of_the_readme_are_told(folder, tmp_path):
  wrong = point(1, range(5))
  wrong['points'] = np.transpose(wrong['points']).tolist()
  bad = write(tmp_path / 'a', [entry('video_1', points=[wrong])])
  with pytest.raises(ValueError, match=r'video_1 .*shape \(5, 2\).*\(2, 5\)'):
    make(bad, videos=str(folder / 'videos'))
  lacking = entry('video_1')
  del lacking['point_tracking']
  with pytest.raises(ValueError, match=r"is left.*'video without tracks': 1"):
    make(write(tmp_path / 'b', [lacking]), videos=str(folder / 'videos'))


def test_one_odd_track_is_left_out_and_counted(folder, tmp_path, capsys):
  odd = [{**box(9, [0, 30]), 'bounding_boxes': [[0, 0, 1, 1]]}, None]
  odd.append({'id': 8, 'frame_ids': [0, 30]})
  nan = float('nan')  # as Python's JSON has it
  odd.append({**box(7, [0]), 'bounding_boxes': [[0, 0, nan, 1]]})
  entries = [entry('video_1', objects=[odd[0], box(1, [0, 30]), *odd[1:]])]
  videos = str(folder / 'videos')
  made = make(
    write(tmp_path / 'a', entries), keys=BOXES, stride=15, videos=videos
  )
  assert made.excluded == {'box not as published': 4}
  assert '2 frame_ids, and values of shape (1, 4)' in capsys.readouterr().out
  clip = made.read(0, rng())
  assert clip['boxes_visible'].any(1).tolist() == [True, False]


def test_entries_of_the_test_split_need_not_tell_of_cups(folder, tmp_path):
  lacking = entry('video_1', objects=[box(1, [0, 15, 30, 45], masked=[15])])
  del lacking['metadata']['is_cup_game']
  made = make(
    write(tmp_path / 'a', [lacking]),
    keys=BOXES,
    stride=15,
    videos=str(folder / 'videos'),
  )
  assert made.read(0, rng())['boxes_visible'][0].all()


def test_labels_of_another_number_of_frames_go_by_time(
  folder, film, tmp_path, capsys
):
  """The file has 46 frames at 30 a second; 38 at 25 are told of it."""
  told = entry('video_1', points=[point(1, range(38))])
  told['metadata'] |= {'num_frames': 38, 'frame_rate': 25.0}
  made = make(
    write(tmp_path / 'a', [told]), stride=10, videos=str(folder / 'videos')
  )
  clip = made.read(0, rng())
  # 0, 10, 20 and 30 of 25 in a second.
  assert numbers(film, clip) == [0, 12, 24, 36]
  assert round(1000 * float(clip['tracks'][0, 3, 1] - 0.5)) == 30
  made.read(0, rng())
  assert capsys.readouterr().out.count('video_1.mp4 has 46 frames') == 1


def hostile(name='video_1', total=TOTAL, **track):
  made = entry(name, points=[point(1, range(5)) | track])
  made['metadata']['num_frames'] = total
  return made


@pytest.mark.parametrize(
  ('bad', 'said'),
  [
    (hostile('../video_1'), r"names '\.\./video_1\.mp4', which is outside"),
    (hostile('/video_1'), r"names '/video_1\.mp4', which is outside"),
    (hostile(total=10**11), 'are more than a video has'),
    (hostile(total=float('inf')), 'infinity'),
    (hostile(frame_ids=[-1, 1, 2, 3, 4]), 'frame_ids -1 to 4'),
    (hostile(frame_ids=[0, 1, 2, 3, 2**31 - 1]), 'frame_ids 0 to 2147483647'),
    (hostile(frame_ids=[0, 1, 2, 3, 2**40]), 'out of bounds'),
  ],
)
def test_hostile_annotations_are_one_error(tmp_path, bad, said):
  with pytest.raises(ValueError, match=f'is not as published: .*{said}'):
    make(write(tmp_path / 'a', [bad]))
