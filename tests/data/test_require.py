"""What options must be, and how a bad one is told."""

from pathlib import Path

import pytest

from data import require


@pytest.mark.parametrize(
  ('good', 'bad', 'said'),
  [
    (
      lambda: require.keys('movi', ('video',), ('video', 'depth')),
      lambda: require.keys('movi', ('video', 'dept'), ('video', 'depth')),
      "unknown keys of movi 'dept': .* video, depth; did you mean 'depth'",
    ),
    (
      lambda: require.keys('movi', ('depth',), ('video', 'depth')),
      lambda: require.keys('movi', (), ('video', 'depth')),
      'movi: no keys: give one or more of video, depth',
    ),
    (
      lambda: require.one_of('videos', ('random', 'middle'), window='middle'),
      lambda: require.one_of('videos', ('random', 'middle'), window='mid'),
      "unknown window of videos 'mid': expected one of random, middle",
    ),
    (
      lambda: require.at_least(1, 'movi', frames=1, points=9),
      lambda: require.at_least(1, 'movi', frames=1, points=0),
      'movi: points=0 must be a whole number, 1 or more',
    ),
    (
      lambda: require.at_least(-1, 'movi', query=-1),
      lambda: require.at_least(0, 'movi', frames=2.5),
      'movi: frames=2.5 must be a whole number',
    ),
    (
      lambda: require.between(0, 1, 'videos', flip=1),
      lambda: require.between(0, 1, 'videos', flip=1.5),
      'videos: flip=1.5 must be 0 to 1',
    ),
    (
      lambda: require.ordered('ssv2', most=1, scale=(0.5, 1)),
      lambda: require.ordered('ssv2', most=1, scale=(0.5, 1.5)),
      r'scale=\(0.5, 1.5\) must be .* in order, above 0 and at most 1',
    ),
    (
      lambda: require.ordered('ssv2', aspect=(0.5, 3)),
      lambda: require.ordered('ssv2', aspect=(0, 3)),
      r'aspect=\(0, 3\) must be \(least, greatest\), in order, above 0$',
    ),
    (
      lambda: require.stride('ssv2', (2, 2)),
      lambda: require.stride('ssv2', (3, 2)),
      r'stride=\(3, 2\) must be .* in order',
    ),
    (
      lambda: require.stride('ssv2', (1, 2)),
      lambda: require.stride('ssv2', (1, 2, 3)),
      r'stride=\(1, 2, 3\) must be \(least, greatest\)',
    ),
  ],
)
def test_a_bad_option_is_told_and_a_good_one_is_not(good, bad, said):
  good()
  with pytest.raises(ValueError, match=said):
    bad()


def test_a_list_reaches_files_below_its_folder_alone(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'elsewhere').mkdir()
  (tmp_path / 'videos').mkdir()
  # A link is of who made the folder, not of the list.
  (tmp_path / 'videos' / 'link').symlink_to(tmp_path / 'elsewhere')
  videos, file = Path('videos'), Path('list.csv')
  for name in ('a.mp4', 'link/a..b.mp4', str(tmp_path / 'videos/a.mp4')):
    assert require.below('x', videos, name, file) == videos / name
  assert require.below('x', Path('/'), '/a.mp4', file) == Path('/a.mp4')
  for name in ('../a', 'link/../a', str(tmp_path / 'videos2/a'), '/a'):
    with pytest.raises(ValueError, match='outside videos: expected a file in'):
      require.below('x', videos, name, file)
  with pytest.raises(ValueError, match='longer than a name of a file can be'):
    require.below('x', videos, f'a/{"b" * 256}', file)
