"""What is read ahead of the steps."""

import jax
import numpy as np

from data.pipeline import Pipeline
from train import mesh as mesh_lib
from train.feed import Feed


class Counting(Pipeline):
  """Numbered batches, counting those that were asked for."""

  batch_size = 8

  def __init__(self):
    self.read = []

  def batches(self, start, *, parts, on_bad):
    del on_bad
    number = start
    while True:
      self.read.append(number)
      yield [
        {'number': np.full([last - first, 1], number)} for first, last in parts
      ]
      number += 1


def test_no_batch_is_read_past_the_end():
  """Of four validation batches, a fifth was decoded for nothing."""
  mesh = mesh_lib.make(fsdp=4, devices=jax.devices()[:4])
  data = Counting()
  with Feed(data, mesh, start=3, end=6, on_bad=print) as feed:
    got = [int(feed.next()['number'][0, 0]) for _ in range(3)]
  assert got == [3, 4, 5]
  assert data.read == [3, 4, 5]
