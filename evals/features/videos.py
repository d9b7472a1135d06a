"""Features of videos of any length: windows -> backbone -> OUT/NAME.npz."""

import dataclasses
import functools
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from base import files, jsons
from base.console import progress, say
from data.film import told
from data.ingest import search
from evals import windows
from evals.resolve import read_config
from models import objective as objective_lib
from train import mesh as mesh_lib
from train import optim
from train.checkpoint import find, saved_at
from train.init_from import as_stored, fitted, start_from

DTYPES = ('float16', 'float32')
_MADE_OF = 'features.json'
_KIND = {'model': dict, 'step': int, 'saved': int, 'as': dict}


@dataclasses.dataclass(frozen=True)
class Options:
  """What is kept of a video.

  Attributes:
    depths: of the features, each in the backbone; see `Objective.features`.
    pooled: keep the mean over the tokens of a time step.
    stride: every how many-th frame is seen.
    crop: see the middle of the picture; otherwise it is squeezed.
    dtype: of what is written.
  """

  depths: tuple[float, ...] = (0.95,)
  pooled: bool = False
  stride: int = 1
  crop: bool = True
  dtype: str = 'float32'

  def __post_init__(self):
    """Refuses what cannot be.

    Raises:
      ValueError: it cannot.
    """
    if not self.depths or not all(0 <= depth <= 1 for depth in self.depths):
      raise ValueError(
        f'--depths={",".join(f"{x:g}" for x in self.depths)} must be numbers '
        'from 0 to 1: 0.95 is what readouts read'
      )
    if len(set(self.depths)) < len(self.depths):
      raise ValueError(f'--depths={self.depths} must be there once each')
    if self.stride < 1:
      raise ValueError(f'--stride={self.stride} must be at least 1')


class Backbone:
  """A pretraining run's backbone on one device, window after window."""

  def __init__(
    self,
    checkpoint: str,
    step: int,
    options: Options,
    *,
    size: tuple[int, int] | None = None,
    random_init: bool = False,
  ):
    """Loads it.

    Args:
      checkpoint: folder of the run.
      step: of its checkpoints; -1: the last.
      options: which features.
      size: height and width of frames, to which positions are resized; None:
        those of the run.
      random_init: new parameters, from seed 0, in place of the run's.

    Raises:
      ValueError: no such run, or no such checkpoint, or a size that the model
        cannot have.
    """
    config = read_config(checkpoint)
    self.model = objective_lib.for_readouts(**config['model'])
    if size:
      self.model |= dict(zip(('height', 'width'), size))
    self.step, self.saved = None, None
    if not random_init:
      folder, self.step = find(checkpoint, step)
      self.saved = saved_at(folder)
    self._objective = objective_lib.make(**self.model)
    # Of the flattened grid: of another one each number is another place.
    if size and getattr(self._objective, 'positions', '') == 'sines':
      raise ValueError(
        f'--size={size[0]}x{size[1]}: {self.model["name"]} has a fixed table '
        'of positions, which has no other size than its own: give --size='
        f'{config["model"]["height"]}x{config["model"]["width"]}'
      )
    self._options = options
    self._mesh = mesh_lib.make(devices=jax.devices()[:1])
    batch = {'video': np.zeros((1, *self.clip, 3), np.uint8)}
    with mesh_lib.use(self._mesh):
      init, shapes, places = self._shapes(self._objective, self.clip)
      if random_init:
        self._params = jax.jit(init, out_shardings=places)(jax.random.key(0))
      elif not size:
        self._params = start_from(
          shapes, places, path=checkpoint, step=self.step
        )
      else:
        self._params = self._resized(config, checkpoint, shapes, places)
      found = jax.eval_shape(self._features, self._params, batch['video'], None)
    # Of a clip's features, by depth: [b t n d], or [b t d].
    self.shapes = [each.shape for each in found[0].values()]
    self.carries = found[1] is not None
    self._run = jax.jit(self._features)

  def _shapes(self, objective, clip):
    """How an objective's parameters are made, their shapes and shardings."""
    batch = {'video': np.zeros((1, *clip, 3), np.uint8)}
    init = functools.partial(objective.init, batch=batch)
    shapes = jax.eval_shape(init, jax.random.key(0))
    return init, shapes, mesh_lib.params_shardings(self._mesh, shapes)

  def _resized(self, config, checkpoint, wanted, where):
    """Parameters of the run, with positions for frames of another size.

    What else depends on the size, such as latents, features do not read.
    """
    model = objective_lib.for_readouts(**config['model'])
    clip = tuple(model[key] for key in ('frames', 'height', 'width'))
    own = objective_lib.make(**model)
    _, shapes, places = self._shapes(own, clip)
    params = start_from(shapes, places, path=checkpoint, step=self.step)
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    stored = {optim.path_name(path): leaf.shape for path, leaf in leaves}
    wanted = jax.tree.map(
      lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
      *(wanted, where),
    )
    return fitted(params, as_stored(stored, wanted)[1])

  @property
  def clip(self) -> tuple[int, int, int]:
    """(frames, height, width) of a window."""
    return tuple(self.model[key] for key in ('frames', 'height', 'width'))

  def __call__(self, clips: np.ndarray, state: Any) -> tuple[dict, Any]:
    """{depth: features [b t n d] or [b t d]} of clips [b t h w 3], and a state.

    They are on the device, and perhaps not computed yet.
    """
    with mesh_lib.use(self._mesh):
      return self._run(self._params, jnp.asarray(clips), state)

  def _features(self, params, video, state):
    found = {}
    for depth in self._options.depths:
      features = self._objective.features(
        params, video, depth=depth, state=state
      )
      tokens = features.tokens
      if self._options.pooled:
        tokens = jnp.mean(tokens, axis=2)
      found[f'{depth:g}'] = tokens.astype(self._options.dtype)
    return found, features.state


def write(
  *,
  checkpoint: str,
  videos: str,
  out: str,
  step: int = -1,
  batch_size: int = 8,
  options: Options = Options(),
) -> dict[str, Any]:
  """Writes the features of each video, those that are not there yet.

  Args:
    checkpoint: folder of a pretraining run.
    videos: a file, a folder or a pattern, as `data.ingest` takes it.
    out: folder; DIR/a/b.mp4 is OUT/a/b.mp4.npz, whose arrays are
      'depth_0.95' [s n d], or [s d] pooled, and 'frames' [s], the number of the
      first frame of each time step in the film.
    step: of the checkpoint; -1: the last.
    batch_size: windows at once, of a backbone that carries no state.
    options: what is kept.

  Returns:
    'videos' and 'frames' that were written, the 'seconds' that took, and those
    'there' before.

  Raises:
    ValueError: OUT holds features of something else; or nothing can be read.
    RuntimeError: some videos cannot be read; all others are written.
  """
  if not files.is_local(out):
    raise ValueError(f'--out={out} must be a folder of a disk')
  root, names = search.find(videos, out)
  names = [name for name in names if not name.endswith(_OURS)]
  if not names:
    raise ValueError(f'--videos={videos!r} matches none but features')
  backbone = Backbone(checkpoint, step, options)
  files.make_folder(out, '--out')
  _claim(out, backbone, options)
  left = [name for name in names if not files.exists(f'{out}/{name}.npz')]
  refused, frames, began = {}, 0, time.perf_counter()
  with progress('features', len(left), 'video') as bar:
    for name in left:
      try:
        arrays = _of_video(backbone, f'{root}/{name}', options, batch_size)
      except ValueError as error:
        refused[name] = str(error)
        say(f'{error}')
      else:
        frames += arrays.pop('seen')
        path = files.path(f'{out}/{name}.npz')
        files.make_parents(path)
        with files.replacing(path) as draft, open(draft, 'wb') as file:
          np.savez(file, **arrays)
      bar.update(1)
  took = time.perf_counter() - began
  written = len(left) - len(refused)
  say(
    f'{told.count("video", written)} of {frames:,} frames in {took:.1f} s, '
    f'{frames / max(took, 1e-9):.1f} frames/s, in {out}; '
    f'{len(names) - len(left)} were there'
  )
  if refused:
    raise RuntimeError(
      f'{told.count("video", len(refused))} of {len(left)} could not be read, '
      f'such as {next(iter(refused.values()))}'
    )
  return {
    **{'videos': written, 'frames': frames, 'seconds': took},
    'there': len(names) - len(left),
  }


_OURS = ('.npz', _MADE_OF)


def _of_video(
  backbone: Backbone, path: str, options: Options, batch_size: int
) -> dict[str, Any]:
  """The arrays of a video's file, and 'seen', the frames that were."""
  parts: dict[str, list] = {f'{depth:g}': [] for depth in options.depths}
  starts, seen, state = [], 0, None
  together = 1 if backbone.carries else batch_size
  pending: list = []

  def keep(batch, found):
    nonlocal seen
    for place, window in enumerate(batch):
      for depth, tokens in found.items():
        steps = tokens.shape[1]
        # Of frames that only fill a window there are none.
        real = -(-window.count * steps // len(window.clip))
        parts[depth].append(np.asarray(tokens[place, :real]))
      every = len(window.clip) // steps * options.stride
      starts.extend(window.start + every * np.arange(real))
      seen += window.count

  with windows.opened(path, stride=options.stride, crop=options.crop) as film:
    for batch in _batches(film.windows(*backbone.clip), together):
      clips = np.stack([window.clip for window in batch])
      # Of one shape, so that one program is compiled.
      more = together - len(batch)
      clips = np.concatenate([clips, np.repeat(clips[-1:], more, axis=0)])
      found, state = backbone(clips, state)
      # While it is computed, the next ones are decoded.
      pending.append((batch, found))
      if len(pending) > 1:
        keep(*pending.pop(0))
  for each in pending:
    keep(*each)
  arrays = {
    f'depth_{depth}': np.concatenate(each) for depth, each in parts.items()
  }
  for name, values in arrays.items():
    if not np.isfinite(values).all():
      raise ValueError(
        f'{path}: {name} is not finite in {options.dtype}: use --dtype=float32'
      )
  return {**arrays, 'frames': np.asarray(starts), 'seen': seen}


def _batches(
  film: Iterator[windows.Window], size: int
) -> Iterator[list[windows.Window]]:
  batch = []
  for window in film:
    batch.append(window)
    if len(batch) == size:
      yield batch
      batch = []
  if batch:
    yield batch


def _claim(out: str, backbone: Backbone, options: Options) -> None:
  """Notes what a folder's features are of.

  Raises:
    ValueError: of something else.
  """
  path = os.path.join(out, _MADE_OF)
  made_of = {
    **{'model': backbone.model, 'step': backbone.step},
    'saved': backbone.saved,
    'as': {**dataclasses.asdict(options), 'depths': list(options.depths)},
  }
  if files.exists(path):
    remedy = 'remove the folder, whose features cannot be told'
    there: Mapping[str, Any] = jsons.read(path, _KIND, remedy)
    other = _differing(there, made_of)
    if other:
      raise ValueError(
        f'--out={out} holds features of another checkpoint or made otherwise '
        f'({other}): choose another folder'
      )
  files.write(path, json.dumps(made_of, indent=2))


def _differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
  found: Sequence[str] = [
    f'{key}: {there["as"].get(key)} there, {value} here'
    for key, value in here['as'].items()
    if there['as'].get(key) != value
  ]
  more = [key for key in ('model', 'step', 'saved') if there[key] != here[key]]
  return '; '.join([*found, *more])
