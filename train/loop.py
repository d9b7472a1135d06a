"""A training run, from top to bottom. The order is the correctness.

    mesh, data, model, optimizer -> checks -> state -> compile ->
    [batch, step, log, evaluate, save] x steps

The method comes in as an objective (`models/objective.py`); nothing here
knows its name.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax

from base.console import say
from data import pipeline
from models.objective import Objective
from train import executable, metrics, optim
from train import mesh as mesh_lib
from train import processes as start_lib
from train import step as step_lib
from train import stop as stop_lib
from train import workdir as workdir_lib
from train.checkpoint import Checkpoints, start_from
from train.evaluate import Evaluation
from train.feed import Feed
from train.progress import Clock, Progress
from train.step import State


def run(
  config: Mapping[str, Any],
  objective: Objective,
  workdir: str,
  *,
  profile_steps: tuple[int, int] | None = None,
  clock: Clock | None = None,
) -> State:
  """Trains `objective` as `config` says; goes on where `workdir` stopped.

  Args:
    config: plain values: `seed`, `steps`, and the sections `mesh`, `data`,
      `optim`, `step`, `init_from`, `compile`, `checkpoint`, `log` and `eval`,
      each the keyword arguments of the function that it is passed to;
      `init_parts` has sections like `init_from` by name.
    objective: what is trained.
    workdir: the run's folder.
    profile_steps: first and last step of a trace in WORKDIR/profile.
    clock: holds the seconds that the start has taken so far.

  Returns:
    The state after the last step, or where the run was told to stop.

  Raises:
    ValueError: the config cannot work; nothing was trained.
    FloatingPointError: loss or gradients are not finite.
  """
  mesh = mesh_lib.make(**config['mesh'])
  with workdir_lib.claim(workdir, config), mesh_lib.use(mesh):
    return _run(config, objective, workdir, mesh, profile_steps, clock)


def _run(config, objective, workdir, mesh, profile_steps, clock):
  steps, seed = config['steps'], config['seed']
  clock = clock or Clock()

  # Data: batches as a function of the step. One example tells the shapes.
  with clock('data'):
    train_data = pipeline.make(split='train', **config['data'])
    evaluation = Evaluation(config['data'], mesh, seed, **config['eval'])
    rows = mesh_lib.batch_sharding(mesh)
    batch_shapes = {
      key: jax.ShapeDtypeStruct(
        (train_data.batch_size, *value.shape), value.dtype, sharding=rows
      )
      for key, value in train_data.example().items()
    }

  # Model and optimizer, as shapes: what cannot work fails before it costs.
  with clock('model'):
    step_options = dict(config['step'])
    freeze = step_options.pop('freeze')
    mesh_lib.check_batch(
      mesh,
      batch_size=train_data.batch_size,
      accumulate=step_options['accumulate'],
    )
    tx, schedule = optim.make(steps=steps, **config['optim'])
    init = functools.partial(objective.init, batch=batch_shapes)
    is_frozen = optim.matches(
      freeze, jax.eval_shape(init, jax.random.key(seed))
    )
    new_state = functools.partial(
      step_lib.init_state, tx=tx, is_frozen=is_frozen, ema=step_options['ema']
    )
    state_shapes = jax.eval_shape(
      lambda rng: new_state(init(rng)), jax.random.key(seed)
    )
    places = mesh_lib.state_shardings(mesh, tx, state_shapes, is_frozen)

  # Checks: the folder is this run's, and the disk can hold it.
  workdir_lib.settle(workdir, config)
  workdir_lib.record_start(workdir)
  checkpoints = Checkpoints(workdir, **config['checkpoint'])
  start = checkpoints.latest() or 0
  if start >= steps:
    say(f'{workdir} is complete: {start} of {steps} steps')
    return checkpoints.restore(state_shapes, places, start)
  checkpoints.check_space(state_shapes)

  # State: this run's last checkpoint, or new, perhaps with another run's
  # parameters.
  with clock('state'):
    if start:
      state = checkpoints.restore(state_shapes, places, start)
      say(f'{workdir} goes on at step {start} of {steps}')
    else:
      once = functools.partial(
        jax.jit, compiler_options=start_lib.options_of_programs_run_once()
      )
      params = once(init, out_shardings=places.params)(jax.random.key(seed))
      for part in (config['init_from'], *config['init_parts'].values()):
        if part['path']:
          params = start_from(params, places.params, **part)
      state = once(new_state, donate_argnums=0, out_shardings=places)(params)

  writer = metrics.Writer(workdir, start=start, config=config, **config['log'])
  feed = Feed(train_data, mesh, start=start, on_bad=writer.quarantine)
  with writer, feed, checkpoints, stop_lib.StopRequest() as stop:
    # Compile ahead of time: no later step can compile again.
    with clock('compile'):
      train_step = step_lib.make_train_step(
        objective, tx, is_frozen, seed=seed, **step_options
      )
      train_step = jax.jit(
        train_step, donate_argnums=0, out_shardings=(places, None)
      )
      train_step = executable.compile_step(
        train_step.lower(state, batch_shapes),
        mesh,
        workdir,
        **config['compile'],
      )

    progress = Progress(
      writer,
      clock,
      start=start,
      steps=steps,
      batch_size=train_data.batch_size,
      flops=sum(objective.flops(batch_shapes).values()),
      schedule=schedule,
    )
    for step in range(start + 1, steps + 1):
      if profile_steps and step == profile_steps[0]:
        jax.profiler.start_trace(f'{workdir}/profile')

      with clock('data_wait'):
        batch = feed.next()
      state, logged = train_step(state, batch)
      progress.add(step, logged)

      if step == start + 1:
        with clock('first_step'):
          progress.read()
        say(f'start-up {clock.total():.1f} s:', str(clock))
      if profile_steps and step == profile_steps[1]:
        progress.read()
        jax.profiler.stop_trace()

      stopping = stop.requested(step)
      if evaluation.due(step, steps):
        progress.read()
        with clock('evaluate'):
          params = step_lib.averaged(state, is_frozen)
          evaluation.run(objective, params, step, writer)
      if step % checkpoints.every == 0 or step == steps or stopping:
        # Nothing is saved before its numbers are known to be finite.
        progress.read()
        with clock('save'):
          checkpoints.save(state, step)
        clock.save(workdir)
      if stopping:
        say(f'stopped after step {step}: the same command goes on from there')
        break
  return state
