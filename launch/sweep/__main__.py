r"""Runs a sweep: every run once, N at a time, with its readouts.

    python -m launch.sweep --config=configs/sweeps/scaling.py --sweep=tiny \
      --on=local --at_once=2 --workdir=runs/tiny \
      --readouts=configs/readout.py:task=depth,data=world,steps=100 \
      -- --config.log.wandb=offline

A sweep is a function sweep() or sweep_NAME() of a file of Python that yields
dicts: the recipe under 'config', and overrides as {'optim.lr': 3e-4}. Each run
is a folder of --workdir, named by what differs; overrides behind -- are for all
of them. All are checked before the first starts. {'run': NAME} as a value is
the folder of another run, which is trained first. What a run with 'forecast':
True will reach is written down when all that are yielded before it are done.

With --search=NAME, Optuna asks search_NAME(trial) of the file for --trials
runs: as many as run at once, and then, of their --score, the next.

    python -m launch.sweep --config=configs/sweeps/rate.py --search=tiny \
      --trials=12 --at_once=2 --workdir=runs/rate

The same command goes on where it was stopped, or killed: a finished run never
runs twice; what crashes is started again up to --max_restarts times; a run that
fails is named in the end, and --retry tries it again. Exit codes: 0 all are
done, 1 some failed, 75 stopped, go on with the same command.
"""

import functools
from collections.abc import Sequence

from absl import flags

from base import command

_PLACES = ('local', 'slurm', 'tpu', 'gke')

_CONFIG = flags.DEFINE_string(
  'config', None, 'A file with sweeps: configs/sweeps/FILE.py[:KEY=VALUE,...]'
)
_SWEEP = flags.DEFINE_string('sweep', '', 'NAME of sweep_NAME(); of sweep().')
_ON = flags.DEFINE_enum('on', 'local', _PLACES, 'Where runs run.')
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of their folders.')
_AT_ONCE = flags.DEFINE_integer('at_once', 1, 'Runs at a time.', lower_bound=1)
_DEVICES = flags.DEFINE_integer(
  'devices',
  0,
  'Local: devices of each run, as launch.local has it.',
  lower_bound=0,
)
_LAUNCH = flags.DEFINE_string(
  'launch',
  '',
  'Elsewhere: flags of the launcher, as "--project=P --zone=Z --spot"; the '
  'slice is that of the recipe (topology=), if they name none.',
)
_SEARCH = flags.DEFINE_string(
  'search', '', 'NAME of search_NAME(trial), which Optuna asks for runs.'
)
_TRIALS = flags.DEFINE_integer('trials', 20, 'Of a search.', lower_bound=1)
_SCORE = flags.DEFINE_string(
  'score', 'eval/loss', 'What a search makes small: a column of the table.'
)
_MAXIMIZE = flags.DEFINE_bool('maximize', False, 'Or large.')
_STUDY = flags.DEFINE_string(
  'study', '', "Its journal, on a disk; '': WORKDIR/study.log."
)
_READOUTS = flags.DEFINE_multi_string(
  'readouts', [], 'Recipe of readouts after each run; may be repeated.'
)
_MAX_RESTARTS = flags.DEFINE_integer(
  'max_restarts',
  3,
  'Crashes of a run, or of a readout, after which it is started again.',
  lower_bound=0,
)
_RETRY = flags.DEFINE_bool('retry', False, 'Try again what has failed.')
_STOP = flags.DEFINE_bool(
  'stop', False, 'Elsewhere: end what goes on without a sweep, and start none.'
)
_DRY_RUN = flags.DEFINE_bool(
  'dry_run', False, 'Check, print every command, and start nothing.'
)
_CACHE = command.compilation_cache()


def main(more: Sequence[str]) -> None:
  """Checks everything, then starts."""
  from base import console, files
  from launch.sweep import forecasts, plan, results, runs
  from launch.sweep import state as state_lib

  workdir = _WORKDIR.value.rstrip('/')
  backend = _backend(workdir)
  make = functools.partial(
    plan.make,
    workdir=workdir,
    readouts=_READOUTS.value,
    more=more,
    cache=_CACHE.value,
    retry=_RETRY.value,
  )
  if _SEARCH.value:
    items = _first(workdir)
  else:
    items = runs.read(_CONFIG.value, _SWEEP.value)
  entries = make(items)
  forecasts.check(entries)
  plan.check(entries, backend)
  if _DRY_RUN.value:
    console.say(plan.commands(entries, backend))
    return
  files.make_folder(workdir, '--workdir', stores_too=True)
  claim = f'{workdir}/claim'
  with files.lock(claim, sure=True) as held_by:
    if held_by:
      raise ValueError(
        f'--workdir={workdir} is being swept by {held_by}: stop that one, or '
        'choose another'
      )
    sweep = f'search {_SEARCH.value}' if _SEARCH.value else _SWEEP.value
    names = [entry.name for entry in entries]
    state_lib.claim(workdir, _CONFIG.value, sweep, names)
    if _STOP.value:
      for entry in entries:
        stage = entry.stage or entry.stages[-1]
        if entry.state.attempts:
          said = backend.end(stage, name=entry.name)
          console.say(f'{entry.name}: {said}')
      return
    if _SEARCH.value:
      entries = _rounds(make, backend, workdir, claim)
    else:
      forecasts.in_order(
        entries,
        workdir,
        lambda some: _follow(some, backend, claim, shown=entries),
      )
    console.say(results.write(workdir, entries))
    console.say(results.report(workdir, entries))
  failed = {x.name: x.state.failed for x in entries if x.state.failed}
  if failed and _SEARCH.value and len(failed) < len(entries):
    console.say(f'{len(failed)} trials failed: {", ".join(failed)}')
  elif failed:
    told = '; '.join(f'{name}: {why}' for name, why in failed.items())
    raise RuntimeError(
      f'{len(failed)} of {len(entries)} runs failed: {told}; --retry tries '
      'them again'
    )


def _follow(entries, backend, claim: str, shown=()) -> None:
  from launch.sweep import loop

  loop.follow(
    entries,
    backend,
    at_once=_AT_ONCE.value,
    max_restarts=_MAX_RESTARTS.value,
    claim=claim,
    shown=shown,
  )


def _search(journal: str):
  from launch.sweep import search

  return search.Search(
    _CONFIG.value,
    _SEARCH.value,
    journal=journal,
    trials=_TRIALS.value,
    score=_SCORE.value,
    maximize=_MAXIMIZE.value,
  )


def _first(workdir: str):
  """Runs of a search that can be checked before anything is written."""
  from base import files
  from launch.sweep import search

  if _SWEEP.value or _RETRY.value:
    raise ValueError(
      'expected no --sweep and no --retry beside --search: a trial that failed '
      'is told to Optuna, and more --trials are new ones'
    )
  search.check_score(_SCORE.value, has_readouts=bool(_READOUTS.value))
  journal = search.journal_of(workdir, _STUDY.value)
  if files.exists(journal):
    return _search(journal).items()
  made = _search('')
  made.ask(1)
  return made.items()


def _rounds(make, backend, workdir: str, claim: str):
  """As many trials as run at once, then, of how they ended, the next."""
  from base import console
  from launch.sweep import plan, search

  found = _search(search.journal_of(workdir, _STUDY.value))
  entries = []
  while found.ask(_AT_ONCE.value):
    entries = make(found.items())
    plan.check(entries, backend)
    _follow(entries, backend, claim)
    found.tell(entries)
    console.say(found.best())
  return entries or make(found.items())


def _backend(workdir: str):
  import shlex

  from launch.sweep.backends import gke, local, slurm, tpu

  if _ON.value == 'local':
    if _LAUNCH.value or _STOP.value:
      raise ValueError(
        '--launch and --stop are for machines elsewhere: a sweep of this one '
        'takes its runs along when it is stopped by Ctrl-C'
      )
    return local.Local(_AT_ONCE.value, _DEVICES.value)
  make = {'slurm': slurm.Slurm, 'tpu': tpu.Tpu, 'gke': gke.Gke}[_ON.value]
  return make(
    shlex.split(_LAUNCH.value),
    workdir=workdir,
    max_restarts=_MAX_RESTARTS.value,
  )


if __name__ == '__main__':
  command.run(
    main,
    required=['config', 'workdir'],
    words='-- OVERRIDES of all runs',
    least=0,
    most=None,
  )
