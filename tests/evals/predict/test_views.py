import numpy as np
import pytest

from evals import task
from evals.predict import queries, views
from evals.tasks import points, points3d


def test_other_heads_ask_again_from_the_frame_of_the_query():
  view = views.Points(np.float32([[0.2, 0.4, 0], [0.6, 0.8, 3]]))
  blank = np.zeros((2, 36, 48, 3), np.uint8)

  class Answer:
    place = np.full((2, 2, 2), 0.5, np.float32)

    def seen(self):
      return np.ones((2, 2), bool)

  found = []
  for _ in range(3):
    asked = view.asked(2)
    drawn = view.draw(Answer(), blank, 2)
    found.append((asked['tracks'][:, 0], asked['query_frames'], drawn.record))
  (first, _, before), (second, when, then), (third, last, _) = found
  np.testing.assert_allclose(first, [[0.2, 0.4], [0.6, 0.8]])
  np.testing.assert_allclose(second, [[0.5, 0.5], [0.6, 0.8]])
  np.testing.assert_allclose(third, [[0.5, 0.5], [0.5, 0.5]])
  assert when.tolist() == [0, 1]
  assert last.tolist() == [0, 0]
  assert before['visible'] == [[True, True], [False, False]]
  assert then['visible'] == [[True, True], [False, True]]
  assert then['place'][1] == [[0.6, 0.8], [0.5, 0.5]]


def test_trails_reach_back_into_the_window_before():
  view = views.Points(np.float32([[0.25, 0.5]]))
  blank = np.zeros((2, 90, 120, 3), np.uint8)

  class Answer:
    def __init__(self, *x):
      self.place = np.float32([[[x[0], 0.5], [x[1], 0.5]]])

    def seen(self):
      return np.ones((1, 2), bool)

  view.draw(Answer(0.25, 0.5), blank, 2)
  second = view.draw(Answer(0.75, 0.75), blank, 2).picture
  row = second[0, 45].any(axis=-1)
  assert row[31:91].all()
  assert not row[:25].any()


def test_depth_keeps_its_colours_from_window_to_window():
  view = views.Depth(zoom=2)
  picture = np.zeros((2, 8, 12, 3), np.uint8)
  depth = np.broadcast_to(np.linspace(2, 4, 24).reshape(4, 6, 1), (2, 4, 6, 1))
  first = view.draw(depth.astype(np.float32), picture, 2)
  assert first.line == 'depth: 2.00 m (bright) to 4.00 m (dark)'
  assert first.panel.shape == picture.shape
  assert first.record['median'] == [3.0, 3.0]
  second = view.draw(depth.astype(np.float32) + 5, picture, 2)
  assert second.line == 'depth: 3.00 m (bright) to 5.00 m (dark)'


def test_pose_and_class_in_words():
  blank = np.zeros((4, 8, 12, 3), np.uint8)
  turn = np.float32([[0, 0, 2, 1], [0, 2, 0, -2], [-2, 0, 0, 0.5]])
  drawn = views.Pose().draw(turn, blank, 4)
  assert drawn.line == (
    'camera: turns 90.0 degrees, moves +1.00 right, -2.00 down, +0.50 ahead'
  )
  assert drawn.record['rotation'] == [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
  logits = np.log(np.float32([0.1, 0.5, 0.05, 0.3, 0.05]))
  view = views.make('classify', {}, 2, ())
  drawn = view.draw(logits, blank, 4)
  assert drawn.line == 'class: 1 (50%), 3 (30%), 0 (10%)'
  view = views.make('classify', {}, 2, ('push', 'pull', 'lift', 'turn'))
  drawn = view.draw(logits, blank, 4)
  assert drawn.line == 'class: pull (50%), turn (30%), push (10%)'
  assert drawn.record['likeliest'] == 'pull'


def test_every_task_has_a_view_and_a_new_one_says_where_to_write_it():
  asked = queries.grid()
  for name in task.names():
    assert isinstance(views.make(name, asked, 2), views.View)
  with pytest.raises(ValueError, match="'normals' has no view"):
    views.make('normals', asked, 2)


def test_points_in_metres_are_drawn_as_points_and_their_depth_is_told():
  start = np.float32([[0.25, 0.5], [0.75, 0.5]])
  still = np.tile(start[:, None], (1, 3, 1))
  sure = np.full((2, 3), 9.0)
  tracks = points.Tracks(still, sure, sure)
  depth = np.float32([[1, 2, 3], [4, 5, 6]])
  video = np.zeros((3, 16, 24, 3), np.uint8)
  view = views.make('points3d', {'points': start}, 1)
  drawn = view.draw(points3d.Answer(tracks, depth), video, 2)
  flat = views.make('points', {'points': start}, 1).draw(tracks, video, 2)
  np.testing.assert_array_equal(drawn.picture, flat.picture)
  assert drawn.record == {**flat.record, 'depth': [[1, 2], [4, 5]]}
