"""A training run, from top to bottom. The order is the correctness.

    mesh, data, program -> folder -> state -> compile ->
    [batch, step, log, evaluate, save] x steps

The method comes in as an objective (`models/objective.py`); nothing here
knows its name.
"""

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

from base.console import say
from base.exits import Again, Unavailable
from data import pipeline
from models.objective import Objective
from train import executable, optim, processes
from train import mesh as mesh_lib
from train import program as program_lib
from train import step as step_lib
from train import workdir as workdir_lib
from train.checkpoint import Checkpoints
from train.evaluate import Evaluation
from train.feed import Feed
from train.guard import Guard
from train.health import Health
from train.init_from import start_from
from train.processes import alike
from train.progress import Clock, Goodput, Progress
from train.step import State
from train.stop import StopRequest
from train.trace import Steps
from train.watchdog import Watchdog
from train.writer import Writer


def run(
  config: Mapping[str, Any],
  objective: Objective,
  workdir: str,
  *,
  profile_steps: tuple[int, int] | None = None,
  clock: Clock | None = None,
  goodput: Goodput | None = None,
  wanted: bool = True,
  asked: workdir_lib.Asked = workdir_lib.GO_ON,
) -> State | None:
  """Trains `objective` as `config` says; goes on where `workdir` stopped.

  Args:
    config: plain values: `seed`, `steps`, and the sections `mesh`, `data`,
      `optim`, `step`, `skips`, `init_from`, `compile`, `checkpoint`, `log`,
      `eval`, `health` and `watchdog`, each the keyword arguments of what it is
      passed to; `init_parts` has sections like `init_from` by name.
    objective: what is trained.
    workdir: the run's folder.
    profile_steps: first and last step of a trace in WORKDIR/profile.
    clock: holds the seconds that the start has taken so far.
    goodput: the bill on that clock, entered, of a caller that has more to do
      in the folder; it ends it.
    wanted: whether the caller needs the state; of a finished run it is not
      read otherwise.
    asked: of a run that has begun, beyond going on.

  Returns:
    The state after the last step; None of a finished run whose state is not
    wanted.

  Raises:
    ValueError: the config cannot work, or that of another process is another
      one; nothing was trained.
    Again: told to stop before the last step; what was trained is saved.
    FloatingPointError: too many updates were left out, since loss or gradients
      were not finite; or a state is not.
  """
  clock = clock or Clock()
  with clock('join'):
    alike.check(config)
    mesh = mesh_lib.make(**config['mesh'])
  with mesh_lib.use(mesh), contextlib.ExitStack() as held:
    return _run(
      *(config, objective, workdir, mesh, profile_steps),
      clock=clock,
      goodput=goodput,
      wanted=wanted,
      asked=asked,
      held=held,
    )


def _run(
  config,
  objective,
  workdir,
  mesh,
  profile_steps,
  *,
  clock,
  goodput,
  wanted,
  asked,
  held,
):
  config, asked = workdir_lib.extended(workdir, config, asked)
  steps, seed = config['steps'], config['seed']

  # 1. Data: batches as a function of the step. One example tells the shapes.
  with clock('data'):
    train_data = pipeline.make(split='train', **config['data'])
    example = train_data.example()

  # 2. State and step, as shapes: what cannot work fails before it costs.
  with clock('model'):
    program = program_lib.make(config, objective, example, mesh)
    evaluation = Evaluation(config['data'], program, seed, **config['eval'])
    health = Health(program, seed, **config['health'])
    say(optim.unused(**config['optim']))
    watchdog = Watchdog(**config['watchdog'])

  # 3. Folder: this run's alone from here on. What can be known to fail without
  # it has failed, and left none; how far it is, by a checkpoint that proves
  # itself, and whether the disk holds the rest.
  held.enter_context(
    workdir_lib.claim(
      *(workdir, config),
      asked=asked,
      fingerprint={'train': train_data.fingerprint},
    )
  )
  held.enter_context(watchdog)
  attempt = workdir_lib.record_start(workdir)
  with clock('proof'):
    checkpoints = Checkpoints(workdir, **config['checkpoint'])
  start = checkpoints.latest() or 0
  if start >= steps:
    say(f'{workdir} is complete: {start} of {steps} steps')
    if not wanted:
      return None
    with clock('restore'):
      return checkpoints.restore(program.state, start)
  is_ours = goodput is None
  goodput = goodput or held.enter_context(Goodput(workdir, clock))
  checkpoints.check_space(program.state)

  # 4. State: this run's last checkpoint; or new, perhaps with another run's
  # parameters. Processes meet where some may be late by minutes: operations on
  # devices would wait without a word, and not for ever. The step is compiled
  # beside the state, either of which may take minutes; it is traced before,
  # since in Python the two would take turns.
  with clock('join'):
    processes.meet('restore')
  with clock('trace'):
    lowered = program.lower()
  rest: list[Callable[[], None]] = []
  compile_step = functools.partial(
    *(executable.compile_step, lowered, program.mesh, workdir),
    **config['compile'],
    later=rest.append,
  )
  compiled = held.enter_context(executable.meanwhile(compile_step))
  with (
    watchdog.at('the start from a state'),
    clock('restore' if start else 'state'),
  ):
    if start:
      say(f'{workdir} goes on at step {start} of {steps}')
      state = checkpoints.restore(program.state, start)
    else:
      state = _new_state(config, program)

  writer = Writer(
    workdir, start=start, attempt=attempt, config=config, **config['log']
  )
  feed = Feed(
    train_data, mesh, start=start, end=steps, on_bad=writer.quarantine
  )
  with StopRequest() as stop, writer, feed, checkpoints:
    # 5. Compile ahead of time: no later step can compile again.
    with clock('compile'):
      say('compiling the step: a minute or more for large models')
      with watchdog.at('the compilation'):
        train_step = compiled.result()
      processes.meet('first step')
    stop.begin()

    guard = Guard(
      *(writer.skipped, train_data.records, config['step']['skip']),
      **config['skips'],
    )
    health.begin(state.norms)
    progress = Progress(
      writer,
      clock,
      guard,
      health,
      start=start,
      steps=steps,
      batch_size=train_data.batch_size,
      flops=sum(program.flops().values()),
      schedule=program.schedule,
      keys=train_data.keys,
    )
    goodput.goes_on(start, writer.left.step, lambda: progress.done)
    trace = Steps(f'{workdir}/profile', profile_steps, wait=progress.read)
    stopping = False

    def save(step: int, last: bool) -> None:
      with clock('step'):
        progress.read()
      watchdog.now(f'the save of step {step}')
      with clock('save'):
        if guard.passes(state, step) or last:
          writer.before_save()
          checkpoints.save(state, step)
      writer.soon(goodput.write)
      writer.bring()

    @contextlib.contextmanager
    def keeping(step: int):
      """Saves it if data does not come; on several, all would have to."""
      try:
        yield
      except (TimeoutError, Unavailable):
        if step > start and jax.process_count() == 1:
          save(step, True)
        raise

    with trace:
      for step in trace.count(start + 1, steps):
        # 6. Step. The host is at most one ahead of the device.
        watchdog.now(f'the data of step {step}', feed.at, feed.give_up)
        with keeping(step - 1), clock('data_wait'):
          batch = feed.next(stop.asked)
        if batch is None:  # told to stop since the step before
          stopping, step = True, step - 1
          if step > start:
            save(step, True)
          break
        watchdog.now(f'step {step}')
        if health.due(step):
          with clock('health'):
            health.look(state, batch, step)
        with clock('first_step' if step == start + 1 else 'step'):
          state, logged = train_step(state, batch)
          progress.add(step, logged, feed.keys)
          if step == start + 1:
            progress.read()
        if step == start + 1:
          say(f'start-up {clock.total():.1f} s:', str(clock))
          for function in rest:
            writer.soon(function)

        # 7. Evaluate, then save. Nothing is saved that is not known to be
        # finite.
        stopping = stop.requested(step)
        if evaluation.due(step, steps):
          with clock('step'):
            progress.read()
          with keeping(step), clock('evaluate'):
            params = step_lib.averaged(state, program.is_frozen)
            evaluation.run(params, step, writer, watchdog)
        last = stopping or step == steps
        if step % checkpoints.every == 0 or last:
          save(step, last)
        if stopping:
          break
      watchdog.now('the end of its last save')
      with clock('save'):
        checkpoints.wait()
  watchdog.now('')
  stopped = stopping and step < steps
  if is_ours or stopped:
    goodput.end()
  if stopped:
    processes.part()
    raise Again(
      f'stopped after step {step}: the same command goes on from there'
    )
  return state


def _new_state(
  config: Mapping[str, Any], program: program_lib.Program
) -> State:
  """Before the first update; parameters are new, or of other runs."""
  # Run once: compiled quickly rather than well.
  once = functools.partial(
    jax.jit, compiler_options=executable.options_of_programs_run_once()
  )
  places = program.places

  def new_params():
    return program.init(jax.random.key(config['seed']))

  sections = (config['init_from'], *config['init_parts'].values())
  parts = [part for part in sections if part['path']]
  if not parts:
    return once(lambda: program.new_state(new_params()), out_shardings=places)()
  params = once(new_params, out_shardings=places.params)()
  for part in parts:
    params = start_from(params, places.params, **part)
  make_state = once(program.new_state, donate_argnums=0, out_shardings=places)
  return make_state(params)
