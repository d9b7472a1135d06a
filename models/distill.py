"""Distillation of one 4DS backbone into another, as an objective.

The published 4DS-B-dist-e was distilled from 4DS-e; its loss, layer and
schedule are not public, so what is here is ours. The student's last tokens, put
through a linear layer, are to be the teacher's features at the same places
("hints" of FitNets, arXiv 1412.6550): those that readouts read, normalised per
token so that no channel outweighs the others (as data2vec, arXiv 2202.03555).
Both see the whole clip.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from models import vit
from models.nn import patches, pca
from models.nn.layers import Affine, affine, lecun
from models.objective import Batch, Features, Params


def make(
  *,
  student: Mapping[str, Any],
  teacher: Mapping[str, Any] | None,
  frames: int,
  height: int,
  width: int,
  depth: float,
) -> 'Distill':
  """The objective.

  Args:
    student: keyword arguments of `vit.backbone`: the backbone that learns.
    teacher: the same of the one that it learns from. None: there is none, and
      the objective gives features of the student only.
    frames: of a clip.
    height: of a clip, pixels.
    width: of a clip, pixels.
    depth: which features of the teacher, see `vit.Backbone.features`.

  Raises:
    ValueError: an unknown name, numbers that do not fit together, or the two
      have tokens at different places.
  """
  clip = (frames, height, width)
  learns = vit.backbone(clip, **student)
  teaches = None if teacher is None else vit.backbone(clip, **teacher)
  if teaches is not None:
    vit.blocks_before(teaches.size.depth, depth)
    if teaches.grid != learns.grid:
      raise ValueError(
        f'model.student has tokens on a grid of {learns.grid}, model.teacher '
        f'on one of {teaches.grid}: give both the same patch, got '
        f'{learns.patch} and {teaches.patch}.'
      )
  return Distill(student=learns, teacher=teaches, depth=depth)


def for_readouts(**options) -> dict[str, Any]:
  """The options of `make` without what no readout needs: the teacher."""
  return {**options, 'teacher': None}


@dataclasses.dataclass(frozen=True)
class Distill:
  """The objective `make` makes; its options are documented there."""

  student: vit.Backbone
  teacher: vit.Backbone | None
  depth: float

  def init(self, rng: PRNGKeyArray, batch: Batch) -> dict[str, Any]:
    """New parameters: {'student': ..., 'head': ..., 'teacher': ...}.

    A run loads the teacher's over them (`init_parts.teacher`) and freezes
    them. Without a teacher there is only the student.

    Raises:
      ValueError: the batch's clips are not of the configured shape.
    """
    self.student.check(batch['video'].shape)
    keys = jax.random.split(rng, 3)
    params = {'student': self.student.init(keys[0])}
    if self.teacher is not None:
      params |= {
        'head': self._head.init(keys[1])['params'],
        'teacher': self.teacher.init(keys[2]),
      }
    return params

  @property
  def _head(self) -> Affine:
    wide = self.teacher.size.width
    return Affine((self.student.size.width,), (wide,), lecun(1, 1))

  def loss(
    self,
    params: Params,
    batch: Batch,
    rng: PRNGKeyArray,
    *,
    ema=None,
    train: bool = True,
  ) -> tuple[Float[Array, ''], dict[str, Float[Array, '']]]:
    """Mean squared error of the teacher's features, and their mean cosine.

    Features have mean 0 and deviation 1 over a token's channels, so that 1 is
    the error of who knows nothing.

    Args:
      params: as `init` makes them.
      batch: video [b t h w 3], uint8 or in [0, 1].
      rng: not read: nothing is drawn.
      ema: not read.
      train: not read.
    """
    del rng, ema, train
    told = self.predict(params, batch['video'])
    target = self.target(params, batch['video'])
    norms = jnp.linalg.norm(told, axis=-1) * jnp.linalg.norm(target, axis=-1)
    # Of a student that says 0 it is 0.
    cosine = jnp.sum(told * target, -1) / jnp.maximum(norms, 1e-6)
    return jnp.mean(jnp.square(told - target)), {'cosine': jnp.mean(cosine)}

  def predict(
    self, params: Params, video: Shaped[Array, 'b t h w 3']
  ) -> Float[Array, 'b n d']:
    """What the student makes of the teacher's features, float32."""
    backbone, own = self.student, params['student']
    x = backbone.embed(own['encoder'], patches.patchify(video, backbone.patch))
    # All blocks: `features` leaves out the last, which nothing would train.
    x = backbone.run(own['processor']['layers'], x)
    kernel, bias = self._head.apply({'params': params['head']})
    x = affine(x, kernel.astype(x.dtype), bias.astype(x.dtype))
    return x.astype(jnp.float32)

  def target(
    self, params: Params, video: Shaped[Array, 'b t h w 3']
  ) -> Float[Array, 'b n d']:
    """The teacher's features, normalised per token, float32."""
    # The optimizer freezes it too; here, so that nothing is kept of it for a
    # backward pass.
    own = jax.lax.stop_gradient(params['teacher'])
    tokens = self.teacher.features(own, video, self.depth).tokens
    x = rearrange(tokens.astype(jnp.float32), 'b t n d -> b (t n) d')
    return jax.nn.standardize(x, epsilon=1e-6)

  def features(
    self,
    params: Params,
    video: Shaped[Array, 'b t h w 3'],
    *,
    state: Any = None,
    depth: float = 0.95,
  ) -> Features:
    """The student's, see `vit.Backbone.features`."""
    del state  # each clip stands alone
    return self.student.features(params['student'], video, depth)

  def flops(self, batch: Batch) -> dict[str, float]:
    """Of one step: the student forward and backward, the teacher forward.

    Pixels get no gradient, so that the student's patch embedding counts twice.
    """
    clips = batch['video'].shape[0]
    t, h, w = self.student.patch
    width = self.student.size.width
    teacher, tokens = self.teacher, self.student.tokens
    embedding = 2.0 * tokens * t * h * w * 3
    head = 2.0 * tokens * width * teacher.size.width
    blocks = vit.blocks_before(teacher.size.depth, self.depth)
    return {
      'patchify': clips * embedding * (2 * width + teacher.size.width),
      'student': 3
      * clips
      * self.student.flops(tokens, self.student.size.depth),
      'head': 3 * clips * head,
      'teacher': clips * teacher.flops(tokens, blocks),
    }

  def pictures(
    self, params: Params, batch: Batch, rng: PRNGKeyArray
  ) -> dict[str, Float[Array, 'b t h w 3']]:
    """The video; what the student says, and the teacher's features, as colours.

    One above another; colours are the first three principal components of the
    teacher's features of a clip.
    """
    del rng
    video = batch['video']
    target = self.target(params, video)
    of = pca.basis(target)
    t, h, w = self.student.grid
    pt, ph, pw = self.student.patch
    rows = [patches.to_unit(video, jnp.float32)]
    for tokens in (self.predict(params, video), target):
      shown = pca.colours(tokens, of)
      pattern = 'b (t h w) c -> b (t pt) (h ph) (w pw) c'
      sizes = {'t': t, 'h': h, 'w': w, 'pt': pt, 'ph': ph, 'pw': pw}
      rows.append(repeat(shown, pattern, **sizes))
    return {'features': jnp.concatenate(rows, axis=2)}
