"""The demos, scripts and notebooks, on small weights."""

import json
import os
import pathlib
import re
import types

import av
import numpy as np
import pytest

from configs import mae, readout
from docs.demos import depth, tracks
from evals import convert
from evals.predict import checks, views
from evals.predict import run as predict_run
from models import published
from tests.models.published import layouts

FOLDER = pathlib.Path(depth.__file__).parent


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
  folder = tmp_path_factory.mktemp('weights')
  layouts.save(folder / depth.PUBLISHED, layouts.depth())
  layouts.save(folder / tracks.BACKBONE, layouts.moog())
  layouts.save(folder / tracks.HEADS['points'], layouts.points())
  layouts.save(folder / tracks.HEADS['boxes'], layouts.boxes())
  return folder


@pytest.fixture(scope='module')
def film(tmp_path_factory):
  """Eight frames, 40 x 100: a window of six, and two."""
  path = tmp_path_factory.mktemp('film') / 'in.mp4'
  with av.open(str(path), 'w') as file:
    stream = file.add_stream('libx264', rate=12)
    stream.height, stream.width, stream.pix_fmt = 40, 100, 'yuv420p'
    for i in range(8):
      picture = np.full((40, 100, 3), 20 * i, np.uint8)
      picture[10:30, 10 * i : 10 * i + 20] = 255
      file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
    file.mux(stream.encode(None))
  return str(path)


def frames_of(path):
  with av.open(str(path)) as file:
    return [frame.to_ndarray(format='rgb24') for frame in file.decode(video=0)]


def test_depth_of_a_published_file_and_of_a_job(weights, film, tmp_path):
  path, options = str(weights / depth.PUBLISHED), layouts.OUTPUT_PATCH
  depth.draw(path, film, str(tmp_path / 'a.mp4'), output_patch=options)
  convert.convert(
    path,
    str(tmp_path / 'run'),
    pretraining=mae.get_config().to_dict(),
    readout=readout.get_config('recipe=paper,lr=3e-4').to_dict(),
    output_patch=options,
  )
  job = str(tmp_path / 'run/heads/depth')
  depth.draw(job, film, str(tmp_path / 'b.mp4'))
  one, other = (frames_of(tmp_path / name) for name in ('a.mp4', 'b.mp4'))
  assert len(one) == len(other) == 8
  height, width = one[0].shape[:2]
  assert width == 2 * height * layouts.W // layouts.H
  # The job's picture has a line of text above.
  panel = other[0][-height:, width // 2 :].astype(int)
  assert np.abs(panel - one[0][:, width // 2 :]).mean() < 8


def test_they_show_what_the_quickstart_leaves(film, tmp_path, monkeypatch):
  """The folder that `make quickstart` writes; of its tasks, the demo's."""
  makefile = (FOLDER / '../../Makefile').read_text()
  (run,) = re.findall(r'^RUN \?= (.*)$', makefile, re.MULTILINE)
  assert '--workdir=$(RUN)/readouts/all\n' in makefile
  folder, asked = f'{run}/readouts/all', []
  (tmp_path / folder).mkdir(parents=True)
  for name in ('config', 'result'):
    (tmp_path / f'{folder}/{name}.json').write_text('{}')
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(
    predict_run, 'predict', lambda **options: asked.append(options)
  )
  tasks = dict.fromkeys(('boxes', 'depth', 'points', 'pose'), 0)
  monkeypatch.setattr(checks, 'finished', lambda readout: (None, tasks))
  for demo, shown in ((depth, ['depth']), (tracks, ['points', 'boxes'])):
    demo.draw(demo.weights_here(), film, 'out.mp4')
    assert asked[-1]['readout'] == folder
    assert asked[-1]['tasks'] == shown


def test_without_weights_they_say_how_to_get_some(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for demo in (depth, tracks):
    with pytest.raises(ValueError, match=r'--weights: .*make quickstart'):
      demo.weights_here()


def test_tracks_of_published_files(weights, film, tmp_path, monkeypatch):
  """Points and boxes of each window, from the state that the last one left."""
  shown, continued = [], []
  make, load = views.make, published.load

  def watched(task, *options):
    view = make(task, *options)

    def draw(said, picture, count):
      drawn = view.draw(said, picture, count)
      shown.append((task, bool((drawn.picture != picture).any())))
      return drawn

    return types.SimpleNamespace(asked=view.asked, draw=draw)

  def loaded(path):
    model = load(path)
    if not path.endswith(tracks.BACKBONE):
      return model

    def seen(clip, state):
      continued.append(state is not None)
      return model(clip, state=state)

    return seen

  monkeypatch.setattr(views, 'make', watched)
  monkeypatch.setattr(published, 'load', loaded)
  out = tmp_path / 'out.mp4'
  tracks.draw(str(weights), film, str(out), size=(16, 24))
  assert shown == [('points', True), ('boxes', True)] * 2
  assert continued == [False, True]
  drawn = frames_of(out)
  assert len(drawn) == 8
  # Points and boxes have colours; the film has none.
  assert np.ptp(drawn[0].astype(int), axis=-1).max() > 60


@pytest.mark.parametrize('name', ['depth', 'tracks'])
def test_notebooks_run(name, weights, film, tmp_path, monkeypatch):
  monkeypatch.chdir(FOLDER)
  notebook = json.loads((FOLDER / f'{name}.ipynb').read_text())
  assert notebook['nbformat'] == 4
  scope, root = {}, os.path.abspath(FOLDER / '../..')
  for cell in notebook['cells']:
    if cell['cell_type'] != 'code':
      continue
    assert cell['outputs'] == []
    assert cell['execution_count'] is None
    tags = cell['metadata'].get('tags', [])
    if 'show' not in tags:  # needs IPython
      exec(''.join(cell['source']), scope)
    if 'parameters' in tags:
      scope |= {'VIDEO': film, 'OUT': str(tmp_path / 'out.mp4')}
      scope |= {
        'depth': {
          'WEIGHTS': str(weights / depth.PUBLISHED),
          'OPTIONS': {'output_patch': layouts.OUTPUT_PATCH},
        },
        'tracks': {'WEIGHTS': str(weights), 'OPTIONS': {'size': (16, 24)}},
      }[name]
  assert os.getcwd() == root
  assert len(frames_of(tmp_path / 'out.mp4')) == 8
