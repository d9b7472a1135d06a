"""A finished job's backbone and heads, run on one clip after another."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evals.job import Job
from evals.predict.views import View
from models.objective import Params
from models.readout import Recurrent
from train import mesh as mesh_lib
from train import optim
from train import step as step_lib
from train.init_from import start_from

Views = Mapping[str, View]


def carrying(job: Job) -> set[str]:
  """The tasks whose heads go on from window to window."""
  tasks = job.objective.tasks
  return {x for x in tasks if isinstance(tasks[x].head(job.clip), Recurrent)}


class Answers:
  """What a job's heads answer, window after window of one video.

  The states of a recurrent backbone and of recurrent heads go from window to
  window. On one device.
  """

  def __init__(self, job: Job, readout: str, views: Views):
    """Loads the parameters.

    Args:
      job: whose heads they are.
      readout: its folder.
      views: of all its tasks.

    Raises:
      ValueError: no checkpoint of this architecture is there.
    """
    self._mesh = mesh_lib.make(devices=jax.devices()[:1])
    self._objective = job.objective
    batch = {'video': np.zeros((1, *job.clip, 3), np.uint8)}
    for view in views.values():
      batch |= _batched(view.asked(job.clip[0]))
    with mesh_lib.use(self._mesh):
      self._params = load(job, readout, batch, self._mesh)
    self._states = None

  def choose(self, heads: Mapping[str, int]) -> None:
    """Leaves these tasks, and this one of the heads of each."""
    tasks = {name: self._objective.tasks[name] for name in heads}
    self._objective = dataclasses.replace(
      self._objective, tasks=tasks, chosen=dict(heads)
    )
    stacked = self._params['heads']
    chosen = {
      name: jax.tree.map(lambda x, head=head: x[head][None], stacked[name])
      for name, head in heads.items()
    }
    self._params = {**self._params, 'heads': chosen}
    self._run = jax.jit(self._answer)

  def __call__(
    self, clip: np.ndarray, asked: Mapping[str, np.ndarray]
  ) -> dict[str, Any]:
    """Each task's answer for a clip [t h w 3] and what is asked of it."""
    batch = _batched({'video': clip, **asked})
    with mesh_lib.use(self._mesh):
      answers, self._states = self._run(self._params, batch, self._states)
      return jax.device_get(answers)

  def _answer(self, params, batch, states):
    objective = self._objective
    state, heads = states or (None, None)
    if len(set(objective.depths)) == 1:
      features = objective.backbone.features(
        params['backbone'],
        batch['video'],
        depth=objective.depths[0],
        state=state,
      )
      batch, state = {**batch, 'features': features.tokens}, features.state
    # Of several depths a backbone carries no state.
    answers, heads = objective.follow(params, batch, heads)
    return jax.tree.map(lambda x: x[0, 0], answers), (state, heads)


def load(
  job: Job,
  readout: str,
  batch: Mapping[str, np.ndarray],
  mesh: jax.sharding.Mesh,
) -> Params:
  """The parameters that a job's result is of: averaged, if it averaged them.

  Args:
    job: of which they are.
    readout: its folder.
    batch: for shapes.
    mesh: where parameters are put.

  Raises:
    ValueError: no checkpoint of this architecture is there.
  """
  init = job.objective.init
  shapes = jax.eval_shape(lambda: init(jax.random.key(0), batch))
  places = mesh_lib.params_shardings(mesh, shapes)
  params = start_from(shapes, places, path=readout)
  step = job.train['step']
  if not step['ema']:
    return params
  is_frozen = optim.matches(step['freeze'], shapes)
  trained = [step_lib.split(x, is_frozen)[0] for x in (shapes, places)]
  average = start_from(*trained, path=readout, ema=True)
  return step_lib.join(average, step_lib.split(params, is_frozen)[1])


def _batched(clip: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
  return {key: jnp.asarray(value)[None] for key, value in clip.items()}
