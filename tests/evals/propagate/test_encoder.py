"""Features of frames of a sequence are those of a clip of them."""

import jax
import numpy as np
import pytest

from data import pictures
from evals.propagate import encoder
from models import objective as objective_lib


class Noise:
  """Three frames, 40 x 48, for a backbone that sees two at once."""

  name = 'noise'
  frames = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 3), np.uint8)
  frames = frames.repeat(8, 1).repeat(8, 2)

  def __len__(self):
    return 3

  def video(self, begin, end):
    return self.frames[begin:end]


def test_each_frame_is_a_step_of_tokens(run, pretraining, pretrained):
  """Tubelets are of two frames: each frame is shown twice."""
  made = encoder.Encoder(
    str(run), step=-1, depth=0.95, size=None, random_init=False
  )
  assert (made.repeat, made.window) == (2, 2)
  assert (made.grid, made.size) == ((2, 3), (16, 24))
  (first, real), (second, rest) = made(Noise())
  assert (real, rest) == (2, 1)
  video = pictures.resize(Noise.frames, 16, 24)
  clips = np.stack([video[[0, 0, 1, 1]], video[[2, 2, 2, 2]]])
  objective = objective_lib.make(**pretraining['model'])
  want = jax.jit(lambda p, v: objective.features(p, v).tokens)(
    pretrained, clips
  )
  np.testing.assert_allclose(first, want[0], atol=1e-5)
  np.testing.assert_allclose(second, want[1], atol=1e-5)


def test_another_size_has_other_places(run):
  made = encoder.Encoder(
    *(str(run),), step=-1, depth=0.5, size=(33, 24), random_init=False
  )
  # Cut to whole patches; the positions are resized.
  assert (made.grid, made.size) == ((4, 3), (32, 24))
  found, _ = next(iter(made(Noise())))
  assert found.shape == (2, 12, 16)


def test_a_fixed_table_of_positions_keeps_its_size(run, monkeypatch):
  class Fixed:
    positions = 'sines'

  monkeypatch.setattr(objective_lib, 'make', lambda **options: Fixed())
  with pytest.raises(ValueError, match=r'no other size.*--size=16x24'):
    encoder.Encoder(
      *(str(run),), step=-1, depth=0.5, size=(32, 24), random_init=False
    )
