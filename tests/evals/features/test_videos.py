"""Features of videos: of which frames, of any length, made once."""

import json

import jax
import numpy as np
import pytest

from evals.features import videos
from models import objective as objective_lib
from tests import commands
from tests.evals.films import film


@pytest.fixture(scope='module')
def frames():
  """Ten smooth frames, 40 x 64, that differ."""
  y, x = np.mgrid[:40, :64] / 12
  waves = np.stack([np.sin(y + x * (1 + t / 9)) for t in range(10)])
  return np.repeat(127 + 100 * waves[..., None], 3, axis=-1).astype(np.uint8)


@pytest.fixture(scope='module')
def folder(frames, tmp_path_factory):
  """Of two videos, one of them in a folder of its own."""
  folder = tmp_path_factory.mktemp('videos')
  (folder / 'a').mkdir()
  film(folder / 'long.mp4', frames)
  film(folder / 'a/short.mp4', frames[:3])
  return folder


def write(run, folder, out, **options):
  return videos.write(
    checkpoint=str(run),
    videos=str(folder),
    out=str(out),
    batch_size=2,
    options=videos.Options(**options),
  )


def read(out, name):
  with np.load(out / f'{name}.npz') as arrays:
    return dict(arrays)


@pytest.fixture(scope='module')
def dense(run, folder, tmp_path_factory):
  out = tmp_path_factory.mktemp('dense')
  found = write(run, folder, out, depths=(0.5, 0.95))
  return out, found


def test_each_video_has_the_features_of_its_frames(
  dense, pretrained, pretraining, folder
):
  out, found = dense
  assert (found['videos'], found['frames'], found['there']) == (2, 13, 0)
  long, short = (read(out, name) for name in ('long.mp4', 'a/short.mp4'))
  assert set(long) == {'depth_0.5', 'depth_0.95', 'frames'}
  # Time steps of two frames; what only fills the last window is left out.
  assert long['frames'].tolist() == [0, 2, 4, 6, 8]
  assert short['frames'].tolist() == [0, 2]
  objective = objective_lib.make(**pretraining['model'])
  t, h, w = (pretraining['model'][x] for x in ('frames', 'height', 'width'))
  with videos.windows.opened(
    str(folder / 'long.mp4'), stride=1, crop=True
  ) as opened:
    clips = [window.clip for window in opened.windows(t, h, w)]
  for depth in (0.5, 0.95):

    def features(params, clips, depth=depth):
      return objective.features(params, clips, depth=depth).tokens

    want = jax.jit(features)(pretrained, np.stack(clips))
    want = np.concatenate(want)[:5]
    np.testing.assert_allclose(long[f'depth_{depth}'], want, atol=1e-5)
  assert abs(long['depth_0.5'] - long['depth_0.95']).max() > 1e-3


def test_pooled_features_are_the_mean_of_each_time_step(
  dense, run, folder, tmp_path
):
  options = {'pooled': True, 'dtype': 'float16'}
  write(run, folder / 'long.mp4', tmp_path / 'out', **options)
  pooled = read(tmp_path / 'out', 'long.mp4')['depth_0.95']
  assert pooled.dtype == np.float16
  want = read(dense[0], 'long.mp4')['depth_0.95'].mean(axis=1)
  np.testing.assert_allclose(pooled, want, atol=2e-3)


def test_a_stride_sees_fewer_frames(run, folder, tmp_path):
  found = write(run, folder / 'long.mp4', tmp_path / 'out', stride=3)
  assert found['frames'] == 4
  numbers = read(tmp_path / 'out', 'long.mp4')['frames']
  assert numbers.tolist() == [0, 6]


def test_what_is_there_is_not_made_again(run, folder, dense, monkeypatch):
  out, _ = dense
  (out / 'long.mp4.npz').unlink()
  before = (out / 'a/short.mp4.npz').stat().st_mtime_ns
  found = write(run, folder, out, depths=(0.5, 0.95))
  assert (found['videos'], found['there']) == (1, 1)
  assert (out / 'long.mp4.npz').exists()
  assert (out / 'a/short.mp4.npz').stat().st_mtime_ns == before


def test_a_folder_holds_features_of_one_kind(run, folder, dense):
  with pytest.raises(ValueError, match='pooled: False there, True here'):
    write(run, folder, dense[0], depths=(0.5, 0.95), pooled=True)
  made_of = dense[0] / 'features.json'
  text = made_of.read_text()
  made_of.write_text(json.dumps(json.loads(text) | {'saved': 1}))
  with pytest.raises(ValueError, match=r'another checkpoint.*saved'):
    write(run, folder, dense[0], depths=(0.5, 0.95))
  made_of.write_text(text)


def test_what_is_no_video_is_named_and_the_others_are_written(
  run, frames, tmp_path
):
  source = tmp_path / 'videos'
  source.mkdir()
  film(source / 'b.mp4', frames[:2])
  (source / 'a.mp4').write_text('no video')
  with pytest.raises(RuntimeError, match=r'1 video of 2 .*a\.mp4'):
    write(run, source, tmp_path / 'out')
  assert (tmp_path / 'out/b.mp4.npz').exists()
  assert not (tmp_path / 'out/a.mp4.npz').exists()


@pytest.mark.parametrize(
  ('options', 'why'),
  [
    ({'depths': (1.5,)}, 'must be numbers from 0 to 1'),
    ({'depths': (0.5, 0.5)}, 'once each'),
    ({'depths': ()}, 'must be numbers'),
    ({'stride': 0}, '--stride=0 must be at least 1'),
  ],
)
def test_options_that_cannot_be_are_refused(options, why):
  with pytest.raises(ValueError, match=why):
    videos.Options(**options)


def test_a_run_that_is_none_is_one_line(tmp_path):
  (tmp_path / 'in.mp4').touch()
  done = commands.run(
    'evals.features',
    *(f'--checkpoint={tmp_path}', f'--videos={tmp_path}/in.mp4'),
    f'--out={tmp_path}/out',
  )
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  assert 'config.json' in line
