"""What a run would be on a pod, known without one.

  python -m launch.plan --config=configs/mae.py:size=j --topology=v5p:8x8x8

compiles the recipe's own training step for the slice with the TPU's compiler
(libtpu: `pip install --group tpu`), on this machine and without a chip, data or
weights, and says what it holds in memory, what it sends between chips and how
long it would take. --backbone does the same for readouts:

  python -m launch.plan --config=configs/readout.py:task=depth,recipe=paper \\
    --backbone=configs/mae.py:size=G --topology=v5p:4x4x4

Without libtpu, or with --shapes_only, it says what shapes alone tell.
docs/pods.md explains the estimates.
"""

import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from base import command
from configs.common import with_changes

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'A recipe: configs/FILE.py:KEY=VALUE,...'
)
_BACKBONE = config_flags.DEFINE_config_file(
  'backbone', None, 'The pretraining recipe whose backbone --config reads.'
)
_TOPOLOGY = flags.DEFINE_string(
  'topology',
  None,
  'Slice of a pod: v4:4x4x4, v5e:8x8, v5p:8x8x8, v6e:16x16; 2xv5e:8x8 are two '
  'slices, with replicas across them. Several, with commas, are compared in a '
  'table.',
)
_SAME_PER_CHIP = flags.DEFINE_bool(
  'same_per_chip',
  False,
  'The recipe is for the first of several topologies; the others have as many '
  'clips and shards a chip, in more replicas.',
)
_LAYOUTS = flags.DEFINE_bool(
  'layouts',
  False,
  'Lay each of several topologies out as configs/layouts.json has the recipe '
  'there; the batch is the same on all.',
)
_SHAPES_ONLY = flags.DEFINE_bool(
  'shapes_only', False, 'Compile nothing: seconds in place of minutes.'
)
_ASSUMED_MFU = flags.DEFINE_float(
  'assumed_mfu', 0.4, 'Of a plan that compiles nothing.', lower_bound=1e-3
)
_JSON = flags.DEFINE_string(
  'json', None, 'Also write the figures to this file.'
)
_HTML = flags.DEFINE_string('html', None, 'Also write them to this page.')
_BENCH = flags.DEFINE_string(
  'bench', None, 'File that `data.bench --json` wrote on a host of this kind.'
)
_SEARCH = flags.DEFINE_integer(
  'search',
  0,
  'Try layouts, remat policies and micro-batches; compile so many of them. '
  '--json has all of these, the best first; the rest is of the best.',
)
_SAVE = flags.DEFINE_bool(
  'save',
  False,
  'Write the best of --search to configs/layouts.json, from which '
  'configs/mae.py:topology=... and configs/moog.py take it.',
)
_EXECUTABLE = flags.DEFINE_string(
  'executable',
  '',
  'Also keep the compiled step in this folder of a run, which loads it with '
  '--config.compile.keep.',
)
_OPTIONS = flags.DEFINE_list(
  'compiler_options',
  [],
  'NAME=VALUE,... over config.compile.options and those of train/chips.py.',
)


def with_options(
  config: Mapping[str, Any], items: Sequence[str]
) -> dict[str, Any]:
  """The config with options of the compiler over its own.

  True and False are booleans, the rest is text: some options that look like
  booleans have a third value, and want 'true'.

  Args:
    config: plain values of a recipe.
    items: NAME=VALUE.

  Raises:
    ValueError: an item is not NAME=VALUE.
  """
  found = dict(config['compile']['options'])
  for item in items:
    name, equals, value = item.partition('=')
    if not (name and equals):
      raise ValueError(f'--compiler_options: {item!r} must be NAME=VALUE')
    found[name] = {'True': True, 'False': False}.get(value, value)
  return with_changes(config, {'compile.options': found})


def frames_per_core(path: str) -> float:
  """What a core decodes in a second, as `data.bench --json` measured it.

  Raises:
    ValueError: no such file, or one that does not say.
  """
  try:
    return json.loads(pathlib.Path(path).read_text())['frames_per_s_core']
  except (OSError, json.JSONDecodeError, KeyError) as error:
    raise ValueError(
      f'--bench={path} must be what `python -m data.bench --json={path}` wrote '
      f'of ingested videos, with frames_per_s_core: {error!r}'
    ) from error


def check_flags() -> None:
  """Check.

  Raises:
    ValueError: flags that do not go together.
  """
  several = ',' in _TOPOLOGY.value
  if ('tasks' in _CONFIG.value) != bool(_BACKBONE.value):
    raise ValueError(
      '--backbone and a readout recipe as --config go together: give '
      '--config=configs/readout.py:... --backbone=configs/mae.py:..., or a '
      'pretraining recipe alone'
    )
  if _SAVE.value and not _SEARCH.value:
    raise ValueError('--save needs --search: it writes what was found')
  if _EXECUTABLE.value and (several or _SEARCH.value or _SHAPES_ONLY.value):
    raise ValueError(
      f'--executable={_EXECUTABLE.value} is of one --topology and one layout, '
      'and needs the compiler: leave out --search and --shapes_only'
    )
  if _SAME_PER_CHIP.value and not several:
    raise ValueError(
      f'--same_per_chip compares several topologies, got {_TOPOLOGY.value}'
    )
  if _SEARCH.value and _SHAPES_ONLY.value:
    raise ValueError('--search compiles: leave out --shapes_only')
  if _LAYOUTS.value and not several:
    raise ValueError(
      '--layouts compares several topologies; of one, give it to the recipe: '
      f'--config=configs/mae.py:size=...,topology={_TOPOLOGY.value}'
    )
  if _LAYOUTS.value and _SAME_PER_CHIP.value:
    raise ValueError(
      '--layouts and --same_per_chip both say how a slice is laid out: give '
      'one of them'
    )
  if several and (_SEARCH.value or _HTML.value or _BENCH.value):
    raise ValueError(
      '--search, --html and --bench are of one --topology, got '
      f'{_TOPOLOGY.value}'
    )


def main() -> None:
  """Prints the plan."""
  from base import console, files
  from launch import recipe as recipe_lib
  from launch.plan import layouts, planning, search, topology
  from launch.plan import page as plan_page
  from launch.plan import table as plan_table
  from launch.plan import text as plan_text

  topology.prepare()
  config = _CONFIG.value.to_dict()
  try:
    check_flags()
    per_core = frames_per_core(_BENCH.value) if _BENCH.value else 0.0
    if _BACKBONE.value:
      config = recipe_lib.of_readouts(config, _BACKBONE.value.to_dict())
    slices = [topology.parse(name) for name in _TOPOLOGY.value.split(',')]
    config = with_options(config, _OPTIONS.value)
    plan = functools.partial(
      planning.plan,
      shapes_only=_SHAPES_ONLY.value,
      assumed_mfu=_ASSUMED_MFU.value,
      executable=_EXECUTABLE.value,
    )
    if len(slices) > 1:
      rows = plan_table.rows(
        config,
        slices,
        plan,
        say=console.say,
        same_per_chip=_SAME_PER_CHIP.value,
        own_layouts=_LAYOUTS.value,
      )
      console.say(plan_table.text(rows))
      if _JSON.value:
        files.write(_JSON.value, json.dumps(rows, indent=2) + '\n')
      return
    (slice_,) = slices
    if _SEARCH.value:
      if not topology.has_compiler():
        raise ValueError(
          '--search compiles, and libtpu is not installed: `pip install '
          '--group tpu`'
        )
      recipe = layouts.recipe_of(config) if _SAVE.value else ''
      ranked = search.search(
        config, slice_, compiles=_SEARCH.value, say=console.say
      )
      console.say(search.ranking(ranked))
      if recipe:
        layouts.save(recipe, slice_.name, ranked[0][0])
        file, _, _ = recipe.partition('.')
        console.say(
          f'saved: --config=configs/{file}.py:...,topology={slice_.name}'
        )
      found = ranked[0][1]
      written = [
        {'layout': dict(candidate.changes), **each}
        for candidate, each in ranked
      ]
    else:
      found = written = plan(config, slice_)
  except ValueError as error:
    raise SystemExit(str(error)) from error
  if per_core:
    found['frames_per_sec_per_core'] = per_core
  print(plan_text.report(found))
  if _JSON.value:
    files.write(_JSON.value, json.dumps(written, indent=2) + '\n')
  if _HTML.value:
    files.write(_HTML.value, plan_page.page(found))


if __name__ == '__main__':
  command.run(main, required=['config', 'topology'])
