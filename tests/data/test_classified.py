"""Listed videos with classes: ssv2 and kinetics, in their own formats."""

import json

import numpy as np
import pytest

from data import classified, source
from data.inspect import check
from data.source import BadRecord
from data.sources import kinetics, ssv2
from tests.data.film.test_decoded import cut

SIZE = {'frames': 4, 'height': 12, 'width': 16, 'stride': (2, 2)}
KEYS = ('video', 'label')
READ = {**SIZE, 'keys': KEYS}
RNG = np.random.default_rng(0)  # not used where clips are not random


def label(template, video_id):
  return {
    'id': video_id,
    'label': 'holding a potato next to vicks vaporub bottle',
    'template': template,
    'placeholders': ['a potato', 'vicks vaporub bottle'],
  }


@pytest.fixture(scope='module')
def something(film, tmp_path_factory):
  """Two videos of 30 frames, one of five, one missing."""
  folder = tmp_path_factory.mktemp('ssv2')
  videos = folder / '20bn-something-something-v2'
  videos.mkdir()
  for name, frames in (('74225', 30), ('116154', 30), ('3', 5)):
    film.write(
      videos / f'{name}.webm', film.greys(frames), codec='libvpx-vp9', rate=12
    )
  classes = {'Pushing something': '1', 'Holding something next to something': 0}
  (folder / 'labels.json').write_text(json.dumps(classes))
  held, pushed = (
    'Holding [something] next to [something]',
    'Pushing [something]',
  )
  train = [label(held, '74225'), label(pushed, '99'), label(pushed, '3')]
  (folder / 'train.json').write_text(json.dumps(train))
  (folder / 'validation.json').write_text(json.dumps([label(pushed, '116154')]))
  (folder / 'test.json').write_text(json.dumps([{'id': '116154'}]))
  return folder


def make_ssv2(folder, split='validation', **options):
  lists = {'validation': 'validation.json'}
  options = {'keys': ssv2.KEYS, **lists, **SIZE, **options}
  return ssv2.make(split, path=str(folder), **options)


def test_templates_lead_to_classes(something):
  made = make_ssv2(something, 'train')
  assert isinstance(made, source.Source)
  assert made.names[0] == 'Holding something next to something'
  ((reason, count),) = made.excluded.items()
  assert reason.startswith('video not in')
  assert count == 1
  found = [made.read(index, RNG) for index in range(len(made))]
  assert [int(each['label']) for each in found] == [0, 1]
  assert found[0]['video'].shape == (4, 12, 16, 3)
  assert check.faults(found[0]) == []


def test_clips_of_one_video_follow_each_other(something, film):
  made = make_ssv2(something, clips=3)
  assert len(made) == 3
  found = [made.read(index, RNG) for index in range(3)]
  assert [int(each['video_id']) for each in found] == [0, 0, 0]
  shown = [list(map(film.number, each['video'])) for each in found]
  assert made.is_fixed
  assert not make_ssv2(something, 'train').is_fixed
  assert shown == [[0, 2, 4, 6], [11, 13, 15, 17], [23, 25, 27, 29]]
  middle = make_ssv2(something).read(0, RNG)['video']
  assert list(map(film.number, middle)) == shown[1]


def test_a_short_video_repeats_its_last_frame(something, film):
  made = make_ssv2(something, 'train', frames=7, stride=(1, 2))
  video = made.read(1, RNG)['video']
  assert list(map(film.number, video)) == [0, 1, 2, 3, 4, 4, 4]


def test_test_clips_show_the_centre(film, tmp_path):
  texture = film.texture(8)
  film.write(tmp_path / 'a.mp4', texture)
  (tmp_path / 'val.csv').write_text('a.mp4 3\n')
  made = kinetics.make(
    *('test',),
    path=str(tmp_path),
    keys=KEYS,
    frames=8,
    height=24,
    width=24,
    stride=(1, 1),
  )
  video = made.read(0, RNG)['video'].astype(float)
  part = texture[:, :, 8:56].reshape(8, 24, 2, 24, 2, 3).mean((2, 4))
  assert np.abs(video - part).mean() < 6
  assert made.read(0, RNG)['label'] == 3


def test_crops_are_spread_over_the_longer_side(film, tmp_path):
  """Clip by clip: both ends and the centre of its picture."""
  texture = film.texture(8)  # 48 x 64
  film.write(tmp_path / 'a.mp4', texture)
  film.write(tmp_path / 'b.mp4', texture.swapaxes(1, 2))
  (tmp_path / 'val.csv').write_text('a.mp4 3\nb.mp4 1\n')
  size = {'frames': 2, 'height': 24, 'width': 24, 'stride': (1, 1)}
  made = kinetics.make(
    *('test',), path=str(tmp_path), clips=2, crops=3, keys=kinetics.KEYS, **size
  )
  assert len(made) == 2 * 2 * 3
  for index in range(12):
    record = made.read(index, RNG)
    which, number = divmod(index, 6)
    assert (record['video_id'], record['label']) == (which, (3, 1)[which])
    start, left = 6 * (number // 3), (0, 8, 16)[number % 3]
    part = texture[start : start + 2, :, left : left + 48]
    part = part.reshape(2, 24, 2, 24, 2, 3).mean((2, 4))
    part = part.swapaxes(1, 2) if which else part
    assert np.abs(record['video'].astype(float) - part).mean() < 6
  (tmp_path / 'train.csv').write_text('a.mp4 3\n')
  trained = kinetics.make(
    'train', path=str(tmp_path), crops=3, keys=KEYS, **size
  )
  assert len(trained) == 1
  with pytest.raises(ValueError, match='crops=2: 1'):
    kinetics.make('test', path=str(tmp_path), crops=2, keys=KEYS, **size)


def test_a_source_says_how_many_classes_it_has(sport, tmp_path, film):
  assert make_kinetics(sport).classes == 3
  film.write(tmp_path / 'a.mp4', film.greys(4))
  (tmp_path / 'val.csv').write_text('a.mp4 6\n')
  made = kinetics.make('test', path=str(tmp_path), **READ)
  assert (made.classes, made.names) == (7, ())
  assert source.make('world', 'test', keys=('video',)).classes == 16


def test_something_is_never_mirrored_kinetics_is(film, tmp_path):
  ramp = np.zeros((6, 48, 64, 3), np.uint8)
  ramp[..., :] = 3 * np.arange(64)[:, None]
  film.write(tmp_path / 'a.mp4', ramp)
  (tmp_path / 'train.csv').write_text('a.mp4 0\n')

  def mirrored(made):
    clips = [
      made.read(0, np.random.default_rng(seed))['video'].astype(int)
      for seed in range(12)
    ]
    return [bool((c[..., :4, :] > c[..., -4:, :]).all()) for c in clips]

  path = str(tmp_path)
  assert len(set(mirrored(kinetics.make('train', path=path, **READ)))) == 2
  assert not any(mirrored(kinetics.make('train', path=path, flip=0, **READ)))
  (tmp_path / 'labels.json').write_text('{"A": 0}')
  (tmp_path / 'train.json').write_text('[{"id": "1", "template": "A"}]')
  film.write(tmp_path / '1.webm', ramp, codec='libvpx-vp9')
  made = ssv2.make('train', path=path, videos='', **READ)
  assert not any(mirrored(made))


@pytest.fixture(scope='module')
def sport(film, tmp_path_factory):
  folder = tmp_path_factory.mktemp('kinetics')
  (folder / 'videos' / 'juggling').mkdir(parents=True)
  film.write(folder / 'videos' / '-a_b-c_000005_000015.mp4', film.greys(9))
  film.write(
    folder / 'videos' / 'juggling' / 'xyz_000120_000130.mp4', film.greys(9)
  )
  head = 'label,youtube_id,time_start,time_end,split\n'
  (folder / 'train.csv').write_text(
    f'{head}juggling,xyz,120,130,train\nabseiling,gone,1,11,train\n'
    '"a, quoted class",-a_b-c,5,15,train\n'
  )
  (folder / 'val.csv').write_text(f'{head}juggling,-a_b-c,5,15,val\n')
  return folder


def make_kinetics(folder, split='train', **options):
  known = {'videos': 'videos', 'validation': 'val.csv'}
  options = {'keys': kinetics.KEYS, **known, **SIZE, **options}
  return kinetics.make(split, path=str(folder), **options)


def test_kinetics_names_files_by_times_and_classes_in_order(sport):
  made = make_kinetics(sport)
  assert made.names == ('a, quoted class', 'abseiling', 'juggling')
  assert list(made.excluded.values()) == [1]
  assert [int(made.read(i, RNG)['label']) for i in range(len(made))] == [2, 0]
  validated = make_kinetics(sport, 'validation')
  assert validated.read(0, RNG)['label'] == 2


def test_lists_of_paths_may_have_spaces_and_be_absolute(sport, film, tmp_path):
  film.write(tmp_path / 'my video.mp4', film.greys(9))
  other = tmp_path / 'other.mp4'
  other.symlink_to(sport / 'videos' / 'juggling' / 'xyz_000120_000130.mp4')
  lines = f'my video.mp4 7\n{other} 5\nnone.mp4 1\n'
  (tmp_path / 'val.csv').write_text(lines)
  made = kinetics.make('test', path=str(tmp_path), keys=('label',), **SIZE)
  assert [int(made.read(i, RNG)['label']) for i in range(len(made))] == [7, 5]
  assert list(made.excluded.values()) == [1]


def test_the_names_of_the_older_release_of_ssv2(something, tmp_path):
  for name in ('labels', 'train', 'validation'):
    file = tmp_path / f'something-something-v2-{name}.json'
    # Some editors begin it with a mark.
    file.write_bytes(
      b'\xef\xbb\xbf' + (something / f'{name}.json').read_bytes()
    )
  videos = str(something / '20bn-something-something-v2')
  made = make_ssv2(tmp_path, 'train', videos=videos)
  assert made.labels.tolist() == make_ssv2(something, 'train').labels.tolist()
  assert len(make_ssv2(tmp_path, 'validation', videos=videos)) == 1


def test_validation_is_held_out_of_training(film, tmp_path):
  """So that nothing is chosen on what is tested."""
  film.write(tmp_path / 'a_000001_000011.mp4', film.greys(4))
  rows = [
    f'{name}_{start:06}_{start + 10:06}'
    for name in 'abcdefgh'
    for start in (1, 30)
  ]
  for row in rows[1:]:
    (tmp_path / f'{row}.mp4').symlink_to(tmp_path / f'{rows[0]}.mp4')
  head = 'label,youtube_id,time_start,time_end,split\n'
  lines = ''.join(
    f'run,{row[0]},{int(row[2:8])},{int(row[9:])},train\n' for row in rows
  )
  (tmp_path / 'train.csv').write_text(head + lines)
  classes = {'Doing it': '0'}
  (tmp_path / 'labels.json').write_text(json.dumps(classes))
  (tmp_path / 'train.json').write_text(
    json.dumps([{'id': name, 'template': 'Doing it'} for name in 'abcdefgh'])
  )
  for name in 'abcdefgh':
    (tmp_path / f'{name}.webm').touch()

  def parts(module, **options):
    options = {'path': str(tmp_path), 'videos': '', **READ, **options}
    return [
      [file.stem for file in module.make(split, **options).files]
      for split in ('train', 'validation')
    ]

  for module, every in ((kinetics, rows), (ssv2, list('abcdefgh'))):
    trained, held = parts(module, validation_fraction=0.4)
    assert sorted(trained + held) == every
    # Clips of one video are not on both sides.
    assert not {row[0] for row in trained} & {row[0] for row in held}
    assert min(len(trained), len(held)) > 1
    # More held out: those that were, and others.
    assert set(held) < set(parts(module, validation_fraction=0.8)[1])
    assert len({row[0] for row in parts(module)[1]}) == 1  # at least one
    named = parts(
      module, validation=f'train.{"csv" if len(every) > 8 else "json"}'
    )
    assert named == [every, every]
    with pytest.raises(
      ValueError, match=r'validation_fraction=0 of the 8 .*say'
    ):
      parts(module, validation_fraction=0)
    with pytest.raises(ValueError, match=r'validation_fraction=2 must be'):
      parts(module, validation_fraction=2)


def test_damage_is_a_bad_record(film, tmp_path):
  film.write(tmp_path / 'a.mp4', film.texture(40))
  (tmp_path / 'b.mp4').write_bytes(b'')
  (tmp_path / 'val.csv').write_text('a.mp4 0\nb.mp4 1\n')
  made = kinetics.make('test', path=str(tmp_path), clips=2, **READ)
  for index in range(2):
    with pytest.raises(BadRecord, match=r'b\.mp4'):
      made.read(2 + index, RNG)
  (tmp_path / 'a.mp4').unlink()
  with pytest.raises(BadRecord, match=r'a\.mp4'):
    made.read(0, RNG)


def test_frames_that_packets_promise_are_not_made_up(
  film, tmp_path, monkeypatch
):
  """A clip is taken from what is shown: no frame of it is frozen."""
  film.write(tmp_path / 'a.mp4', film.greys(12))
  (tmp_path / 'val.csv').write_text('a.mp4 0\n')
  made = kinetics.make('test', path=str(tmp_path), clips=3, **READ)
  monkeypatch.setattr(classified, 'count', lambda file: 16)
  shown = [list(map(film.number, made.read(n, RNG)['video'])) for n in range(3)]
  assert shown == [[0, 2, 4, 6], [4, 6, 8, 10], [5, 7, 9, 11]]


@pytest.mark.parametrize(
  ('codec', 'suffix'), [('mpeg2video', 'ts'), ('libx264', 'ts')]
)
def test_what_is_cut_out_of_a_stream_counts_from_its_first_keyframe(
  film, tmp_path, codec, suffix
):
  options = {'g': '10', 'bf': '0', 'sc_threshold': '0'}
  path = film.write(
    *(tmp_path / f'a.{suffix}', film.texture(40)),
    **{'codec': codec, 'rate': 25, 'options': options},
  )
  data = path.read_bytes()
  path.write_bytes(data[len(data) // 3 // 188 * 188 :])
  total = classified.count(path)
  assert 20 <= total < 30
  assert len(classified.pictures(path, np.arange(total))) == total
  with pytest.raises(classified.Fewer) as caught:
    classified.pictures(path, np.arange(total + 1))
  assert caught.value.frames == total


def test_a_picture_that_changes_size_is_not_squeezed(film, tmp_path):
  data = {}
  for size in (48, 64), (72, 96), (64, 48):
    path = film.write(
      tmp_path / 'a.ts', film.greys(10, *size), options={'bf': '0'}
    )
    data[size] = path.read_bytes()
  # Of one shape: all in the larger size.
  path.write_bytes(data[48, 64] + data[72, 96])
  assert classified.pictures(path, np.arange(20)).shape == (20, 72, 96, 3)
  assert classified.pictures(path, np.arange(8)).shape == (8, 48, 64, 3)
  path.write_bytes(data[48, 64] + data[64, 48])
  assert classified.pictures(path, np.arange(12, 18)).shape == (6, 64, 48, 3)
  with pytest.raises(BadRecord, match='changes from 64 x 48 to 48 x 64 within'):
    classified.pictures(path, np.arange(5, 15))


def test_bad_options_and_lists_are_told(something, sport, tmp_path):
  for options, message in (
    ({'split': 'val'}, "split of .* 'val': expected one of train, val"),
    ({'test': 'test.json', 'split': 'test'}, 'no template'),
    ({'train': 'other.json', 'split': 'train'}, 'is missing'),
    ({'videos': 'elsewhere'}, 'no video on disk'),
    ({'keys': ('depth',)}, 'depth'),
    ({'scale': (0.5, 2.0)}, 'scale='),
  ):
    with pytest.raises(ValueError, match=message):
      make_ssv2(something, **options)
  (tmp_path / 'labels.json').write_text('{"Other thing": "0"}')
  (tmp_path / 'validation.json').write_text(
    json.dumps([label('Some [thing]', '1')])
  )
  with pytest.raises(ValueError, match="'Some thing', class of video 1"):
    make_ssv2(tmp_path)
  for text, message in (
    ('{"Other thing": -1}', '1 classes, whose numbers are not 0 to 0'),
    ('{"Other thing": "x"}', 'classes without a number'),
    ('{"Other thing": 0.5}', 'whose numbers are not 0 to 0, each once'),
    ('{"Other thing": 0, "A": 0}', 'has 2 classes, whose numbers are not'),
  ):
    (tmp_path / 'labels.json').write_text(text)
    with pytest.raises(ValueError, match=message):
      make_ssv2(tmp_path)
  (tmp_path / 'names.txt').write_text('abseiling\n')
  (tmp_path / 'val.csv').write_text('a.mp4 one\n')
  for options, message in (
    ({'names': str(tmp_path / 'names.txt')}, 'is not one of the 1'),
    ({'train': str(tmp_path / 'val.csv'), 'split': 'test'}, 'does not name'),
    ({'train': str(tmp_path / 'val.csv')}, 'line 1 of'),
    ({'train': 'none.csv'}, 'is missing'),
  ):
    with pytest.raises(ValueError, match=message):
      make_kinetics(sport, **options)


def test_what_an_edit_list_hides_is_not_counted(film, tmp_path):
  """As of clips that were cut without encoding: no frame of them is frozen."""
  options = {'g': '8', 'sc_threshold': '0', 'bf': '0'}
  whole = film.write(tmp_path / 'a.mp4', film.greys(40), options=options)
  part = cut(whole, tmp_path / 'b.mp4', 13)
  assert classified.count(part) == 27
  shown = classified.pictures(part, np.arange(27))
  assert list(map(film.number, shown)) == list(range(13, 40))


def test_mirrored_videos_are_shown_as_their_matrix_says(film, tmp_path):
  clip = film.texture(6)
  path = film.write(
    tmp_path / 'a.mp4', clip, matrix=(-1, 0, 0, 0, 1, 0, 64, 0, 1)
  )
  shown = classified.pictures(path, np.arange(6)).astype(int)
  assert np.abs(shown - clip[:, :, ::-1]).mean() < 8
