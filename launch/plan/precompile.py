"""Compiles a step before there is a pod, and keeps it in a run's folder.

  python -m launch.plan.precompile --config=configs/mae.py:size=j \\
    --topology=v5p:8x8x8 --workdir=WORKDIR

prints what `python -m launch.plan` does. `python -m train` with the same
recipe and --workdir takes the step, if it is the same program for the same
chips; needs libtpu, `pip install --group tpu`.
"""

from absl import flags

from base import command
from launch.plan import flags as plan_flags

plan_flags.show()
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run.')


def main() -> None:
  """Compiles, and prints the plan."""
  from base import console, files
  from launch.plan import compiler, does_not_fit, estimate
  from launch.plan.report import text
  from train import executable

  compiler.prepare()
  compiler.require()
  config = plan_flags.recipe()
  slice_ = plan_flags.one_slice()
  path = executable.path_of(_WORKDIR.value)
  # Before minutes of work whose result could not be written.
  files.make_folder(_WORKDIR.value, '--workdir', stores_too=True)
  files.make_parents(path)
  console.say(
    f'compiling for {slice_.name}, which takes minutes, to {path} ...'
  )
  try:
    found = estimate.plan(config, slice_, workdir=_WORKDIR.value)
  except does_not_fit.DoesNotFitError as error:
    console.say(error.details)
    raise
  console.say(text.report(found))


if __name__ == '__main__':
  command.run(main, required=[*plan_flags.REQUIRED, 'workdir'])
