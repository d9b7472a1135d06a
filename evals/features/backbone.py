"""A pretraining run's backbone and its features, for films and sequences."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evals.resolve import read_config
from models import objective as objective_lib
from train import mesh as mesh_lib
from train import optim
from train.checkpoint import find, saved_at
from train.init_from import as_stored, fitted, start_from


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
