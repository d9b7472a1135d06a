"""How the prediction of each task is asked for, shown and written down.

A view of a task goes through a video window by window and keeps what lasts
longer: where points are now, the trail behind them, the range of depths.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from data import overlay
from evals.metrics.pose import nearest_rotation, rotation_angle
from evals.tasks import classify

_TRAIL = 8  # frames: long enough to show which way, short enough to tell apart
Picture = UInt8[np.ndarray, 't y x 3']


class Drawn(NamedTuple):
  """A window's prediction, for people and for programs."""

  picture: Picture  # the video, with what is drawn on it
  record: dict[str, Any]  # for JSON
  line: str = ''  # of text
  panel: Picture | None = None  # beside the video, of its size


@runtime_checkable
class View(Protocol):
  """What a task's predictions look like."""

  def asked(self, frames: int) -> dict[str, np.ndarray]:
    """Record keys of one clip, from which the task takes its queries."""

  def draw(self, answer: Any, picture: Picture, count: int) -> Drawn:
    """Draws one clip's answer; `count` of its frames are the video's."""


def make(
  task: str,
  queries: Mapping[str, np.ndarray],
  zoom: int,
  names: Sequence[str] = (),
  carried: bool = False,
) -> View:
  """The view of a task.

  Args:
    task: its name.
    queries: points and boxes that are asked for, see `evals.predict.queries`.
    zoom: of pictures, over what the model sees.
    names: of classes; numbers stand for those that have none.
    carried: whether the head carries a state from window to window.

  Raises:
    ValueError: a new task, which nobody has said how to show.
  """
  if task == 'points':
    return Points(queries['points'], carried)
  if task == 'points3d':
    return Points3d(queries['points'], carried)
  if task == 'boxes':
    return Boxes(queries['boxes'], carried)
  if task == 'depth':
    return Depth(zoom)
  if task == 'pose':
    return Pose()
  if task == 'classify':
    return Classify(names)
  raise ValueError(
    f'task {task!r} has no view on a video: write one in evals/predict/views.py'
  )


class Depth:
  """A map beside the video: near is bright.

  Its range is that of the window's depths but for 2% at either end, averaged
  with that of the windows before, so that colours do not jump.
  """

  def __init__(self, zoom: int):
    self._zoom, self._ends = zoom, None

  def asked(self, frames: int) -> dict[str, np.ndarray]:
    """Nothing."""
    del frames
    return {}

  def draw(
    self, answer: Float[np.ndarray, 't h w 1'], picture: Picture, count: int
  ) -> Drawn:
    """See the class. The record has percentiles per frame, in metres."""
    ends = np.percentile(answer[:count], [2, 98])
    before = ends if self._ends is None else self._ends
    self._ends = 0.8 * before + 0.2 * ends
    near, far = self._ends
    # Drawing takes 0 for unknown.
    panel = overlay.depth(np.maximum(answer, 1e-6), near, far, zoom=self._zoom)
    shares = np.percentile(answer[:count], [2, 50, 98], axis=(1, 2, 3))
    return Drawn(
      picture,
      dict(zip(('near', 'median', 'far'), _rounded(shares))),
      f'depth: {near:.2f} m (bright) to {far:.2f} m (dark)',
      panel,
    )


class Points:
  """Dots with trails.

  Where a point was last is where it is looked for in the next window; if the
  head carries a state, it is always asked for what it was at first.
  """

  def __init__(self, start: Float[np.ndarray, 'q c'], carried: bool = False):
    """Starts.

    Args:
      start: (x, y), and where it is not frame 0 the frame, of the video.
      carried: whether the head carries a state.
    """
    self._now, self._carried, self._first = start[:, :2], carried, 0
    self._when = np.zeros(len(start), np.int32)
    if start.shape[1] > 2:
      self._when = start[:, 2].astype(np.int32)
    self._trail = _Trail(len(start))

  def asked(self, frames: int) -> dict[str, np.ndarray]:
    """Points that stand still, and the window's frame of each query.

    That is outside the window for a head that carries a state, where the query
    is of another window.
    """
    when = self._when - self._first
    if not self._carried:
      when = np.where((when >= 0) & (when < frames), when, 0)
    return {
      'tracks': _still(self._now, frames),
      'tracks_visible': np.ones((len(self._now), frames), bool),
      'query_frames': when,
    }

  def draw(self, answer: Any, picture: Picture, count: int) -> Drawn:
    """Of `evals.tasks.points.Tracks`. The record: [q t 2], (x, y); [q t].

    Before the frame of its query a point is there, and not visible.
    """
    begun = np.arange(len(picture)) + self._first >= self._when[:, None]
    place = np.where(begun[..., None], answer.place, self._now[:, None])
    seen = np.asarray(answer.seen()) & begun
    self._first += count
    if not self._carried:
      self._now = np.clip(place[:, count - 1], 0, 1)
    return Drawn(
      self._trail.draw(picture, place, seen),
      {
        'place': _rounded(place[:, :count]),
        'visible': seen[:, :count].tolist(),
      },
    )


class Points3d(Points):
  """Dots with trails in the picture; the record has their depths too."""

  def draw(self, answer: Any, picture: Picture, count: int) -> Drawn:
    """Of `evals.tasks.points3d.Answer`. The record: also [q t], metres."""
    drawn = super().draw(answer.tracks, picture, count)
    depth = _rounded(np.asarray(answer.depth)[:, :count])
    return drawn._replace(record={**drawn.record, 'depth': depth})


class Boxes:
  """Outlines with the trails of their middles; asked for as points are."""

  def __init__(self, start: Float[np.ndarray, 'o 4'], carried: bool = False):
    self._now, self._carried = start, carried
    self._trail = _Trail(len(start))

  def asked(self, frames: int) -> dict[str, np.ndarray]:
    """Boxes that stand still; tasks look at frame 0 only."""
    return {
      'boxes': _still(self._now, frames),
      'boxes_visible': np.ones((len(self._now), frames), bool),
    }

  def draw(
    self, answer: Float[np.ndarray, 'o t 4'], picture: Picture, count: int
  ) -> Drawn:
    """The record: [o t 4], (ymin, xmin, ymax, xmax)."""
    if not self._carried:
      self._now = np.clip(answer[:, count - 1], 0, 1)
    seen = np.ones(answer.shape[:2], bool)
    middle = (answer[..., [1, 0]] + answer[..., [3, 2]]) / 2
    picture = self._trail.draw(picture, middle, seen)
    return Drawn(
      overlay.boxes(picture, answer, seen),
      {'boxes': _rounded(answer[:, :count])},
    )


class Pose:
  """A line: how the camera moves from the window's first frame to its last."""

  def asked(self, frames: int) -> dict[str, np.ndarray]:
    """Nothing."""
    del frames
    return {}

  def draw(
    self, answer: Float[np.ndarray, '3 4'], picture: Picture, count: int
  ) -> Drawn:
    """The record: the last camera in the first one's axes, OpenCV's."""
    del count
    turn = nearest_rotation(jnp.asarray(answer[:, :3]))
    right, down, ahead = move = answer[:, 3]
    return Drawn(
      picture,
      {'rotation': _rounded(turn), 'translation': _rounded(move)},
      f'camera: turns {float(rotation_angle(turn, jnp.eye(3))):.1f} degrees, '
      f'moves {right:+.2f} right, {down:+.2f} down, {ahead:+.2f} ahead',
    )


class Classify:
  """A line: the three likeliest classes."""

  def __init__(self, names: Sequence[str]):
    self._names = names

  def asked(self, frames: int) -> dict[str, np.ndarray]:
    """Nothing."""
    del frames
    return {}

  def draw(
    self, answer: Float[np.ndarray, 'n'], picture: Picture, count: int
  ) -> Drawn:
    """The record: probabilities of all classes, and the likeliest one."""
    del count
    shares = np.asarray(jax.nn.softmax(answer))
    best = np.argsort(-shares)[:3]
    called = [classify.called(label, self._names) for label in best.tolist()]
    line = ', '.join(
      f'{name} ({shares[label]:.0%})' for name, label in zip(called, best)
    )
    record = {'shares': _rounded(shares), 'likeliest': called[0]}
    return Drawn(picture, record, f'class: {line}')


class _Trail:
  """Draws tracks whose trails reach back into the window before."""

  def __init__(self, rows: int):
    self._place = np.zeros((rows, 0, 2), np.float32)
    self._seen = np.zeros((rows, 0), bool)

  def draw(self, picture: Picture, place, seen) -> Picture:
    before = self._place.shape[1]
    place = np.concatenate([self._place, place], axis=1)
    seen = np.concatenate([self._seen, seen], axis=1)
    self._place, self._seen = place[:, -_TRAIL:], seen[:, -_TRAIL:]
    blank = np.zeros((before, *picture.shape[1:]), np.uint8)
    drawn = overlay.tracks(
      np.concatenate([blank, picture]), place, seen, trail=_TRAIL
    )
    return drawn[before:]


def _still(rows: np.ndarray, frames: int) -> np.ndarray:
  return np.repeat(rows[:, None], frames, axis=1).astype(np.float32)


def _rounded(values: Any) -> list:
  """For JSON, to a ten-thousandth."""
  return np.round(np.asarray(values, np.float64), 4).tolist()
