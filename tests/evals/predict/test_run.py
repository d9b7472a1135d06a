"""Predictions on videos of any length, as their user sees them."""

import copy
import dataclasses
import json
import shutil
from fractions import Fraction

import av
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evals import job as job_lib
from evals import windows as windows_lib
from evals.predict import checks, views
from evals.predict import model as predict_model
from evals.predict import queries as predict_queries
from evals.predict import run as predict_run
from models import objective as objective_lib
from tests.evals import recipes as readouts
from tests.evals.films import film
from tests.models import recipes
from train import checkpoint
from train.step import State

T, H, W = 4, 16, 24
ZOOM = 24
HEAD = {'width': 16, 'heads': 2}
EVERY = {'every': 1, 'keep': 3, 'keep_every': None}  # checkpoints


@pytest.fixture(scope='module')
def frames():
  """Ten smooth frames, 40 x 64, that differ."""
  y, x = np.mgrid[:40, :64] / 12
  waves = [np.sin(y * k + x + k * t) for t in range(10) for k in (1, 2, 3)]
  waves = np.stack(waves).reshape(10, 3, 40, 64).transpose(0, 2, 3, 1)
  return (127 + 100 * waves).astype(np.uint8)


@pytest.fixture(scope='module')
def movie(frames, tmp_path_factory):
  return film(tmp_path_factory.mktemp('movie') / 'in.mp4', frames)


@pytest.fixture(scope='module')
def config(pretraining, recipe):
  """Of a job of all tasks with two learning rates."""
  tasks = {'depth': {'start': 3.0}, 'pose': {'start': 'identity'}}
  tasks |= {'points': {'residual': True}, 'boxes': {'residual': True}}
  tasks |= {'classify': {'classes': 5}}
  config = recipe | {
    'tasks': {
      name: readouts.options(name, **HEAD, **options)
      for name, options in tasks.items()
    },
    'lrs': (1e-2, 1e-3),
    'model': pretraining['model'],
    'backbone': {'run': 'RUN', 'step': 7, 'random_init': False, 'saved': 1},
  }
  return json.loads(json.dumps(config))


@pytest.fixture(scope='module')
def params(config):
  """The job's, with a second head of each task that is not the first."""
  objective = job_lib.make_objective(config)
  batch = {'video': np.zeros((1, T, H, W, 3), np.uint8)}
  for name in config['tasks']:
    view = views.make(name, predict_queries.grid(), ZOOM)
    batch |= {key: value[None] for key, value in view.asked(T).items()}
  params = jax.jit(objective.init)(jax.random.key(0), batch)
  return {
    **params,
    'heads': jax.tree.map(lambda x: x.at[1].multiply(1.5), params['heads']),
  }


def save(folder, config, params, ema=None):
  """A finished job, whose second heads were chosen."""
  folder.mkdir(exist_ok=True)
  with checkpoint.Checkpoints(str(folder), **EVERY) as checkpoints:
    checkpoints.save(State(jnp.asarray(3), params, (), ema), 3)
  (folder / 'config.json').write_text(json.dumps(config))
  result = {'tasks': {name: {'head': 1} for name in config['tasks']}}
  (folder / 'result.json').write_text(json.dumps(result))
  return str(folder)


@pytest.fixture(scope='module')
def done(config, params, tmp_path_factory):
  return save(tmp_path_factory.mktemp('job'), config, params)


def seen(path):
  """(frames, rate, format, codec) of a video."""
  with av.open(path) as file:
    stream = file.streams.video[0]
    frames = [x.to_ndarray(format='rgb24') for x in file.decode(video=0)]
    context = stream.codec_context
    rate = stream.average_rate
    return np.stack(frames), rate, context.pix_fmt, context.name


def test_every_task_on_a_film_of_two_windows_and_a_half(
  done, movie, config, params, tmp_path, monkeypatch
):
  asked = []
  call = predict_model.Answers.__call__

  def spy(self, clip, queries):
    asked.append((clip, queries))
    return call(self, clip, queries)

  monkeypatch.setattr(predict_model.Answers, '__call__', spy)
  out = tmp_path / 'new' / 'out.mp4'
  found = predict_run.predict(readout=done, video=movie, out=str(out))
  assert json.loads((tmp_path / 'new/out.json').read_text()) == found
  assert sorted(x.name for x in out.parent.iterdir()) == ['out.json', 'out.mp4']

  drawn, rate, pixels, codec = seen(str(out))
  # Two pictures side by side under a line each of depth, pose and class.
  assert drawn.shape == (10, 3 * 18 + ZOOM * H, 2 * ZOOM * W, 3)
  assert (rate, pixels, codec) == (Fraction(25, 2), 'yuv420p', 'h264')
  assert found['frame_rate'] == 12.5
  assert found['seen'] == {'top': 0, 'left': 2, 'height': 40, 'width': 60}
  assert found['gaps'] == []
  windows = found['windows']
  assert [x['start'] for x in windows] == [0, 4, 8]
  assert [x['frames'] for x in windows] == [4, 4, 2]
  assert np.shape(windows[0]['points']['place']) == (64, 4, 2)
  assert np.shape(windows[2]['points']['visible']) == (64, 2)
  assert np.shape(windows[2]['boxes']['boxes']) == (9, 2, 4)
  assert np.shape(windows[1]['pose']['rotation']) == (3, 3)
  assert sum(windows[1]['classify']['shares']) == pytest.approx(1, abs=1e-3)

  # Where a point or box was last in a window it is looked for in the next.
  for key, task, part in (
    ('tracks', 'points', 'place'),
    ('boxes', 'boxes', 'boxes'),
  ):
    for number in (0, 1):
      last = np.clip(np.array(windows[number][task][part])[:, -1], 0, 1)
      query = asked[number + 1][1][key][:, 0]
      np.testing.assert_allclose(query, last, atol=1e-4)
      assert np.abs(last - asked[number][1][key][:, 0]).max() > 1e-3
  clip = asked[2][0]
  np.testing.assert_array_equal(clip[1:], np.stack([clip[1]] * 3))

  # The same as the readout itself says, of the head that was chosen.
  objective = job_lib.make_objective(config)
  clip, queries = asked[1]
  batch = {key: value[None] for key, value in queries.items()}
  answers = jax.jit(objective.predict)(params, {**batch, 'video': clip[None]})
  depth, other = answers['depth'][1, 0], answers['depth'][0, 0]
  wanted = np.median(depth, axis=(1, 2, 3))
  np.testing.assert_allclose(windows[1]['depth']['median'], wanted, atol=2e-4)
  assert np.abs(np.median(other, axis=(1, 2, 3)) - wanted).max() > 1e-3
  place = answers['points'].place[1, 0]
  np.testing.assert_allclose(windows[1]['points']['place'], place, atol=2e-4)


def test_a_stride_keeps_the_speed_of_the_film(done, movie, tmp_path):
  found = predict_run.predict(
    readout=done,
    video=movie,
    out=str(tmp_path / 'out.mp4'),
    tasks=['classify'],
    stride=3,
  )
  drawn, rate, *_ = seen(str(tmp_path / 'out.mp4'))
  assert drawn.shape == (4, 18 + ZOOM * H, ZOOM * W, 3)
  assert rate == Fraction(25, 6)
  assert [list(x) for x in found['windows']] == [
    ['start', 'frames', 'classify']
  ]


def test_windows_show_the_middle_or_everything(tmp_path):
  """Green between red: 16 x 96, of which a clip 16 x 24 sees the middle."""
  frames = np.zeros((6, 16, 96, 3), np.uint8)
  frames[..., 0] = 200
  frames[:, :, 32:64] = (0, 200, 0)
  path = film(tmp_path / 'in.mp4', frames)
  with windows_lib.opened(path, stride=1, crop=True) as opened:
    first, last = opened.windows(T, H, W, ZOOM)
    assert opened.total == 6
    assert opened.box == (0, 36, 16, 24)
  assert first.clip.shape == (T, H, W, 3)
  assert first.picture.shape == (T, ZOOM * H, ZOOM * W, 3)
  assert (last.start, last.count) == (4, 2)
  for shown in (first.clip, first.picture):
    assert np.abs(shown - np.array([0, 200, 0])).max() < 20
  with windows_lib.opened(path, stride=1, crop=False) as opened:
    clip = next(opened.windows(T, H, W)).clip
    assert opened.box == (0, 0, 16, 96)
  assert (clip[:, :, :6, 0] > 180).all()
  assert (clip[:, :, 10:14, 1] > 180).all()


def test_a_film_of_uneven_frames_keeps_its_speed(frames, tmp_path):
  """Every frame is on show for as long as in the film."""
  path = tmp_path / 'in.mp4'
  with av.open(str(path), 'w') as file:
    stream = file.add_stream('libx264', rate=10)
    stream.height, stream.width, stream.pix_fmt = 40, 64, 'yuv420p'
    stream.codec_context.options = {'crf': '4', 'bf': '0'}
    for at, number in ((0, 0), (1, 3), (2, 6), (5, 9), (6, 0)):
      frame = av.VideoFrame.from_ndarray(frames[number], 'rgb24')
      frame.pts, frame.time_base = at, Fraction(1, 10)
      file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
  with windows_lib.opened(str(path), stride=1, crop=True) as opened:
    (window,) = opened.windows(8, H, W)
  same = [(a == b).all() for a, b in zip(window.clip, window.clip[1:])]
  assert same == [False, False, True, True, False, False, True]
  assert window.count == 7


@dataclasses.dataclass(frozen=True)
class Counting:
  """A recurrent backbone, in a way: features tell the number of the window."""

  inner: object

  def __getattr__(self, name):
    return getattr(self.inner, name)

  def features(self, params, video, *, depth=0.95, state=None):
    state = jnp.ones([]) if state is None else state + 1
    tokens, _ = self.inner.features(params, video, depth=depth)
    scale = jnp.linspace(1, 2, tokens.shape[-1]) ** state
    return objective_lib.Features(tokens * scale, state)


def test_a_recurrent_backbone_carries_its_state(
  done, frames, tmp_path, monkeypatch
):
  path = film(tmp_path / 'in.mp4', np.stack([frames[0]] * 12))
  options = {'readout': done, 'video': path, 'tasks': ['classify']}
  options |= {'out': str(tmp_path / 'out.mp4')}

  def changes():
    found = predict_run.predict(**options)['windows']
    shares = np.array([window['classify']['shares'] for window in found])
    return np.abs(np.diff(shares, axis=0)).max(axis=1)

  alone = changes()
  make = objective_lib.make
  monkeypatch.setattr(
    objective_lib, 'make', lambda **options: Counting(make(**options))
  )
  assert (changes() > 5 * alone.max()).all()


def recurrent(config, frames, method):
  """A job of recurrent heads on MooG or RVM, for windows of so many frames."""
  head = {'readout': 'recurrent', 'width': 16, 'heads': 2, 'head_dim': 8}
  head |= {'layers': 1, 'mlp': 16, 'residual': True}
  moog = {'tokens': 6, 'head_dim': 8, 'subsample': 8}
  moog |= {'channels': (8, 8), 'strides': (2, 4)}
  moog |= {'predictor_layers': 1, 'corrector_layers': 1}
  rvm = {'depth': 1, 'heads': 2, 'patch': (8, 8), 'core_layers': 1}
  rvm |= {'sources': 1, 'targets': 1, 'gap': (1, 1), 'mask_ratio': 0.5}
  known, own = {
    'moog': (recipes.MOOG, moog),
    'rvm': (recipes.RVM, rvm),
  }[method]
  model = {**known, 'name': method, 'frames': frames, 'height': H, 'width': W}
  model |= {'dim': 16, 'mlp': 16, 'decoder_layers': 1, **own}
  tasks = {
    'points': readouts.options('points', **head, query_frames=True),
    'boxes': readouts.options('boxes', **head),
  }
  config = {**config, 'model': model, 'tasks': tasks, 'lrs': (1e-2,)}
  return json.loads(json.dumps(config))


@pytest.mark.slow
@pytest.mark.parametrize('method', ['moog', 'rvm'])
def test_windows_of_recurrent_heads_do_not_show(
  config, movie, tmp_path, method
):
  """Windows of 4 and 6 frames and one of 10; points of frames of all three."""
  asked = {
    'points': [[0.2, 0.3, 0], [0.7, 0.4, 0], [0.5, 0.5, 5], [0.1, 0.8, 9]],
    'boxes': [[0.1, 0.2, 0.5, 0.7]],
  }
  (tmp_path / 'asked.json').write_text(json.dumps(asked))
  start = {'points': np.float32(asked['points'])}
  start['boxes'] = np.float32(asked['boxes'])
  batch = {'video': np.zeros((1, T, H, W, 3), np.uint8)}
  for name in ('points', 'boxes'):
    view = views.make(name, start, ZOOM, (), True)
    batch |= {key: value[None] for key, value in view.asked(T).items()}
  objective = job_lib.make_objective(recurrent(config, T, method))
  params = jax.jit(objective.init)(jax.random.key(0), batch)
  # Heads that have not learned hardly look.
  params['heads'] = jax.tree.map(lambda x: 3 * x, params['heads'])

  def predicted(frames):
    folder = tmp_path / str(frames)
    made = recurrent(config, frames, method)
    save(folder, made, params)
    result = {'tasks': {name: {'head': 0} for name in made['tasks']}}
    (folder / 'result.json').write_text(json.dumps(result))
    windows = predict_run.predict(
      readout=str(folder),
      video=movie,
      out=str(tmp_path / 'out.mp4'),
      queries=str(tmp_path / 'asked.json'),
    )['windows']
    parts = ('points', 'place'), ('points', 'visible'), ('boxes', 'boxes')
    return len(windows), [
      np.concatenate([window[task][part] for window in windows], axis=1)
      for task, part in parts
    ]

  number, whole = predicted(10)
  assert number == 1
  place, visible, boxes = whole
  assert np.abs(np.diff(place[0], axis=0)).min(axis=1).max() > 1e-3
  np.testing.assert_allclose(place[3, :9], [[0.1, 0.8]] * 9, atol=1e-4)
  assert np.abs(place[3, 9] - [0.1, 0.8]).max() > 1e-3
  assert np.abs(np.diff(boxes[0], axis=0)).max() > 1e-3
  assert not visible[2, :5].any()
  for frames, windows in ((4, 3), (6, 2)):
    number, parts = predicted(frames)
    assert number == windows
    np.testing.assert_allclose(parts[0], place, atol=2e-4)
    np.testing.assert_array_equal(parts[1], visible)
    np.testing.assert_allclose(parts[2], boxes, atol=2e-4)


def test_averaged_parameters_are_those_of_the_result(config, params, tmp_path):
  config = copy.deepcopy(config)
  config['step'] |= {'ema': 0.9}
  average = {
    'backbone': jax.tree.map(lambda _: None, params['backbone']),
    'heads': jax.tree.map(lambda x: x + 1, params['heads']),
  }
  folder = save(tmp_path / 'job', config, params, average)
  answers = predict_model.Answers(
    job_lib.make(config),
    folder,
    {
      name: views.make(name, predict_queries.grid(), ZOOM)
      for name in config['tasks']
    },
  )
  got = answers._params
  for ours, theirs in (
    (got['heads'], average['heads']),
    (got['backbone'], params['backbone']),
  ):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_what_a_film_has_of_damage_is_left_out_and_told(
  done, movie, tmp_path, capsys
):
  """Keyframes are 0, 4 and 8: of frame 5 on two more do not decode."""
  with open(movie, 'rb') as file:
    whole = bytearray(file.read())
  with av.open(movie) as file:
    packets = [x for x in file.demux(video=0) if x.size]
  bad = next(x for x in packets[5:] if not x.is_keyframe)
  whole[bad.pos : bad.pos + bad.size] = bytes(bad.size)
  path = tmp_path / 'bad.mp4'
  path.write_bytes(whole)
  out = tmp_path / 'out.mp4'
  found = predict_run.predict(
    readout=done, video=str(path), out=str(out), tasks=['classify']
  )
  assert 4 < found['frames'] < 10
  ((at, seconds),) = found['gaps']
  assert 0.3 < at < 0.64
  assert seconds == pytest.approx(0.64 - at, abs=0.01)
  # No window spans the gap.
  assert sum(x['frames'] for x in found['windows']) == found['frames']
  assert [x['frames'] for x in found['windows']][-1] == 2
  assert len(seen(str(out))[0]) == found['frames']
  assert 'do not decode: they are left out' in capsys.readouterr().out


def test_no_window_spans_a_pause(frames, tmp_path):
  path = tmp_path / 'in.mp4'
  with av.open(str(path), 'w') as file:
    stream = file.add_stream('libx264', rate=10)
    stream.height, stream.width, stream.pix_fmt = 40, 64, 'yuv420p'
    stream.codec_context.options = {'crf': '4', 'bf': '0'}
    for number, picture in enumerate(frames):
      frame = av.VideoFrame.from_ndarray(picture, 'rgb24')
      frame.pts = number + 50 * (number >= 5)
      frame.time_base = Fraction(1, 10)
      file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
  with windows_lib.opened(str(path), stride=1, crop=True) as opened:
    assert opened.rate == 10
    windows = list(opened.windows(T, H, W))
  assert [(x.start, x.count) for x in windows] == [
    *((0, 4), (4, 1), (5, 4), (9, 1))
  ]


def test_an_output_that_cannot_be_written_is_named(done, movie, tmp_path):
  (tmp_path / 'file').touch()
  for out in ('/proc/out.mp4', str(tmp_path / 'file/out.mp4')):
    with pytest.raises(OSError, match=r'No such|Not a dir|exists') as found:
      predict_run.predict(
        readout=done, video=movie, out=out, tasks=['classify']
      )
    assert out.startswith(found.value.filename)


def test_clear_errors_leave_nothing_behind(done, movie, config, tmp_path):
  out = tmp_path / 'out.mp4'

  def fails(match, **options):
    options = {'readout': done, 'video': movie, 'out': str(out)} | options
    with pytest.raises(ValueError, match=match):
      predict_run.predict(**options)
    assert not list(tmp_path.glob('out*'))

  text = tmp_path / 'text.mp4'
  text.write_text('not a video ' * 99)
  fails('text.mp4: not a video', video=str(text))
  fails(r'--video=nowhere\.mp4 does not exist', video='nowhere.mp4')
  fails('must be another file', out=movie)
  fails(r'end with \.mp4', out=str(tmp_path / 'out.avi'))
  (tmp_path / 'timed.json').write_text('{"points": [[0, 1, 2]]}')
  fails('is told no frame. Ask', queries=str(tmp_path / 'timed.json'))
  fails('--stride=0 must be at least 1', stride=0)
  fails('--task=depht: .* has the tasks', tasks=['depth', 'depht'])

  folder = tmp_path / 'folder'
  folder.mkdir()
  here = {'readout': str(folder)}
  fails('is not a readout job', **here)
  run = {key: config[key] for key in ('model', 'data', 'steps')}
  (folder / 'config.json').write_text(json.dumps(run))
  fails('is a pretraining run: train a readout', **here)
  (folder / 'config.json').write_text(json.dumps(config))
  fails(r'is not finished: it has no result\.json', **here)
  (folder / 'result.json').write_text(
    json.dumps({'tasks': {name: {'head': 0} for name in config['tasks']}})
  )
  fails('holds no checkpoint', **here)

  run['model'] = run['model'] | {'dim': 32}
  other = tmp_path / 'other'
  other.mkdir()
  (other / 'config.json').write_text(json.dumps(run))
  fails('another backbone than .*dim: 32 there, 16 here', checkpoint=str(other))
  fails('is a readout of RUN: give that run', checkpoint=done)


def test_the_run_of_another_seed_is_refused(done, movie, config, tmp_path):
  def saved(name, step):
    """A run of this model, whose parameters are its name's."""
    folder = tmp_path / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    run = {key: config[key] for key in ('model', 'data', 'steps')}
    (folder / 'config.json').write_text(json.dumps(run))
    with checkpoint.Checkpoints(str(folder), **EVERY) as checkpoints:
      checkpoints.save(State(jnp.asarray(step), {'a': jnp.ones(1)}, ()), step)
    return str(folder)

  first, second = saved('first', 7), saved('second', 7)
  time = checkpoint.saved_at(checkpoint.find(first, 7)[0])
  backbone = {'run': first, 'step': 7, 'random_init': False}

  def check(run, **found):
    job = job_lib.make({**config, 'backbone': {**backbone, **found}})
    checks.check_backbone(job, 'JOB', run)

  check(first, saved=time)
  copy_ = shutil.copytree(first, tmp_path / 'copy')
  check(str(copy_), saved=time)
  with pytest.raises(ValueError, match=r'another backbone .*step 7 was saved'):
    check(second, saved=time)
  with pytest.raises(ValueError, match=r'another backbone .*step 7 was saved'):
    predict_run.predict(
      readout=done,
      video=movie,
      out=str(tmp_path / 'out.mp4'),
      checkpoint=first,
    )
  # Gone on, trained anew in the same folder, or not as far.
  saved('first', 9)
  check(first, saved=time)
  with pytest.raises(ValueError, match=r'another backbone .*run: .*second'):
    check(saved('second', 9), saved=time)
  saved('first', 7)
  with pytest.raises(ValueError, match=r'another backbone .*step 7 was saved'):
    check(first, saved=time)
  saved('first', 5)
  with pytest.raises(ValueError, match=r'another backbone .*at most 5 there'):
    check(first, saved=time)


def test_half_a_film_is_not_left_behind(done, movie, tmp_path, monkeypatch):
  def broken(self, *_):
    raise RuntimeError('out of memory')

  monkeypatch.setattr(views.Classify, 'draw', broken)
  out = tmp_path / 'out.mp4'
  with pytest.raises(RuntimeError, match='out of memory'):
    predict_run.predict(
      readout=done, video=movie, out=str(out), tasks=['classify']
    )
  assert not list(tmp_path.iterdir())


def test_the_chosen_head_reads_features_of_its_depth(
  config, params, tmp_path, movie
):
  """Of heads of several depths: what a job of that depth alone would say."""
  config = {**config, 'lrs': (1e-2,), 'features': {**config['features']}}
  said = {}
  for depth in ([0.5, 1.0], 1.0):
    config['features']['depth'] = depth
    mine = params
    if depth == 1.0:
      # Its only head is the second one of the other job.
      heads = jax.tree.map(lambda x: x[1:], params['heads'])
      mine = {**params, 'heads': heads}
    folder = tmp_path / str(len(said))
    save(folder, config, mine)
    if depth == 1.0:
      result = {'tasks': {name: {'head': 0} for name in config['tasks']}}
      (folder / 'result.json').write_text(json.dumps(result))
    said[len(said)] = predict_run.predict(
      readout=str(folder), video=movie, out=str(tmp_path / f'{len(said)}.mp4')
    )['windows']
  one, other = (json.dumps(x) for x in said.values())
  assert one == other
