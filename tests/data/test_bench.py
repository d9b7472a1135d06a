"""What bench measures must be the same clips; how fast is not tested here."""

import numpy as np
import pytest

from configs.mae import get_config as mae_config
from data import transforms, video
from data.bench import __main__ as command
from data.bench import measure as bench
from data.bench import peers
from data.ingest.folder import ingest
from data.ingest.recipe import Recipe
from data.sources import videos
from models import objective
from tests.data import recipes

OPTIONS = recipes.videos(frames=4, height=24, width=32)


@pytest.fixture(scope='module')
def folder(footage, tmp_path_factory):
  out = tmp_path_factory.mktemp('bench') / 'data'
  recipe = Recipe(chunk_frames=32, overlap_frames=16)
  ingest(str(footage), out, recipe, workers=0)
  return str(out)


@pytest.fixture
def source(folder):
  return videos.make(
    'train', path=folder, **OPTIONS | {'validation_fraction': 0}
  )


def test_peers_read_the_same_frames(source):
  parsed = [source.fetch(index) for index in range(2)]
  assert [each.start for each in parsed] == [0, 16]
  copy = peers.long_group(parsed)
  wanted = np.array([3, 9, 20])
  ours = [
    frame.to_ndarray(format='rgb24')
    for frame in video.decode(parsed[1], wanted)
  ]
  bare = peers.bare_loop(parsed[1].payload, wanted, parsed[1].fps)
  np.testing.assert_array_equal(bare, ours)
  long = peers.bare_loop(copy, 16 + wanted, parsed[1].fps)
  assert np.abs(np.array(long, int) - ours).mean() < 6
  box = transforms.Box(4, 6, 40, 50)
  usual = peers.usual_loop(copy, 16 + wanted, parsed[1].fps, box, 24, 32)
  clip = video.render(video.decode(parsed[1], wanted), box, 24, 32)
  assert np.abs(usual.astype(int) - clip).mean() < 8


def test_a_record_within_the_one_before_adds_nothing(source):
  first = source.fetch(0)
  assert peers.long_group([first, first]) == peers.long_group([first])


def test_all_figures_are_there(folder):
  clips = dict(OPTIONS)
  keys = clips.pop('keys')
  options = {
    'split': 'train',
    'batch_size': 2,
    'seed': 0,
    'sources': {
      'a': {'name': 'videos', 'weight': 1.0, 'path': folder, **clips}
    },
    'keys': keys,
    'shuffle': True,
    'stalled_sec': 60.0,
    'remote': {},
    'max_bad': 0.0,
  }
  found = bench.measure(options, rounds=1, clips=4, copies=1, workers=1)
  assert found['stages_ms'].keys() == set(bench.STAGES)
  assert all(value > 0 for value in found['peers'].values())
  assert found['pipeline']['workers_over_cores'] > 0
  assert found['pipeline']['memory_mb'] > found['memory_mb'] > 10
  model = mae_config('size=tiny').model.to_dict()
  model |= {'frames': 4, 'height': 24, 'width': 32, 'patch': (2, 4, 8)}
  model |= {'output_patch': (4, 8, 8)}
  flops = command.flops_per_clip(model, options['sources'])
  whole = objective.make(**model).flops({'video': np.zeros((2, 4, 24, 32, 3))})
  assert flops == pytest.approx(sum(whole.values()) / 2)
  found['feeding'] = command.feeding(50.0, 2e11, 200.0, 0.4)
  assert found['feeding']['chip_clips_per_s'] == pytest.approx(400)
  assert found['feeding']['cores_per_chip'] == pytest.approx(8)
  text = command.report(found)
  for part in ('decode', 'p99', 'bare PyAV loop', '8.0 cores feed it'):
    assert part in text
