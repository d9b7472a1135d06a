"""What a run would be on a pod, known without one.

  python -m launch.plan --config=configs/mae.py:size=j --topology=v5p:8x8x8

compiles the recipe's own training step for the slice with the TPU's compiler
(libtpu: `pip install --group tpu`), on this machine and without a chip, data or
weights, and says what it holds in memory, what it sends between chips and how
long it would take. --backbone does the same for readouts:

  python -m launch.plan --config=configs/readout.py:task=depth,recipe=paper \\
    --backbone=configs/mae.py:size=G --topology=v5p:4x4x4

Without libtpu, or with --shapes_only, it says what shapes alone tell.

  python -m launch.plan.compare     several slices, in a table
  python -m launch.plan.search      the best of several layouts on a slice
  python -m launch.plan.precompile  keeps the compiled step in a run's folder

take the same recipes. docs/pods.md explains the estimates.
"""

import json

from absl import flags

from base import command
from launch.plan import flags as plan_flags

plan_flags.show()
_SHAPES_ONLY, _ASSUMED_MFU = plan_flags.shapes_only()
_JSON = plan_flags.output('json', 'Also write the figures to this file.')
_HTML = plan_flags.output('html', 'Also write them to this page.')
_BENCH = flags.DEFINE_string(
  'bench', None, 'File that `data.bench --json` wrote on a host of this kind.'
)


def frames_per_core(path: str) -> float:
  """What a core decodes in a second, as `data.bench --json` measured it.

  Raises:
    ValueError: a file that does not say.
    FileNotFoundError: there is none.
  """
  from base import jsons

  remedy = (
    f'write it by `python -m data.bench --json={path}` of ingested videos'
  )
  found = jsons.read(path, {'frames_per_s_core': float}, remedy)
  return found['frames_per_s_core']


def main() -> None:
  """Prints the plan."""
  from base import console, files
  from launch.plan import compiler, does_not_fit, estimate
  from launch.plan.report import page, text

  compiler.prepare()
  per_core = frames_per_core(_BENCH.value) if _BENCH.value else 0.0
  for output in (_JSON, _HTML):
    plan_flags.check_output(output)
  config = plan_flags.recipe()
  slice_ = plan_flags.one_slice()
  if not _SHAPES_ONLY.value and compiler.is_installed():
    console.say(f'compiling for {slice_.name}, which takes minutes ...')
  try:
    found = estimate.plan(
      config,
      slice_,
      shapes_only=_SHAPES_ONLY.value,
      assumed_mfu=_ASSUMED_MFU.value,
    )
  except does_not_fit.DoesNotFitError as error:
    console.say(error.details)
    raise
  if per_core:
    found['frames_per_sec_per_core'] = per_core
  console.say(text.report(found))
  if _JSON.value:
    files.write(_JSON.value, json.dumps(found, indent=2) + '\n')
  if _HTML.value:
    files.write(_HTML.value, page.page(found))


if __name__ == '__main__':
  command.run(main, required=plan_flags.REQUIRED)
