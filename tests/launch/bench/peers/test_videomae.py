"""The comparison states what it compares."""

import importlib.util
import sys

import pytest

from launch.bench.peers import videomae


def test_the_peers_flops():
  # By hand, in GFLOP of two clips: a block on n tokens is
  # 2 n (12 * 384^2 + 2 n 384) forward; a step is 3 times that.
  encoder = 12 * 2 * 78 * (12 * 384**2 + 2 * 78 * 384) + 2 * 78 * 384**2
  decoder = 2 * 2 * 1568 * (12 * 384**2 + 2 * 1568 * 384)
  head = 2 * 1490 * 384 * 1536
  embedding = 2 * 1568 * 1536 * 384
  flops = videomae.peer_flops(clips=2, visible=78)
  expected = 6 * (encoder + decoder + head) + 4 * embedding
  assert sum(flops.values()) == pytest.approx(expected)


def test_the_table_pairs_steps_and_counts_flops():
  table = videomae.table([1.0, 2.0, 1.0], [2.0, 4.0, 3.0], 60e9, 150e9)
  assert 'scale4d 4DS-S' in table
  assert 'median of pairs: 2.00 times faster, 0.80 times the FLOP/s' in table
  assert 'fastest of each: 2.00 times faster' in table


@pytest.mark.skipif(
  importlib.util.find_spec('torch') is not None, reason='torch is installed'
)
def test_a_missing_peer_says_how_to_get_it():
  with pytest.raises(ValueError, match='pip install --group peers'):
    videomae.check_peer(sys.executable)
