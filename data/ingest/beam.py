"""Ingestion on Apache Beam: the same steps, on the machines of its runner.

Workers need this checkout and its requirements (a container image, in the
runner's options) and must see the folders of the videos and of the data.
"""

import argparse
import functools
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from base import files as base_files
from base import names
from data.ingest import steps
from data.ingest.recipe import Recipe


def prepared(runner: str, options: str) -> Callable[[], Any]:
  """What makes the pipeline, whose runner and options are known to be good.

  Beam itself passes by what it does not know, and tells of the rest late.

  Args:
    runner: 'DirectRunner', 'DataflowRunner', ...
    options: of the runner, as on its command line.

  Raises:
    ValueError: Apache Beam is not installed, has no such runner, or does not
      know an option or its value, or lacks one.
  """
  try:
    import apache_beam as beam
    from apache_beam.options import pipeline_options_validator as validator
    from apache_beam.options.pipeline_options import PipelineOptions
  except ModuleNotFoundError as error:
    raise ValueError(
      f'ingest: --beam_runner={runner} needs Apache Beam: '
      'pip install --group beam'
    ) from error
  made = _runner(runner)
  given = PipelineOptions(_checked(options))
  missing = validator.PipelineOptionsValidator(given, made).validate()
  if missing:
    raise ValueError(
      f'ingest: --beam_options={options!r} for {runner}: {" ".join(missing)}'
    )
  return functools.partial(beam.Pipeline, runner=made, options=given)


def _runner(name: str) -> Any:
  """The runner of this name, or of this class of a module."""
  from apache_beam import runners
  from apache_beam.options.pipeline_options import StandardOptions

  try:
    found = runners.create_runner(name)
  except ValueError:
    names.choose('--beam_runner', name, StandardOptions.KNOWN_RUNNER_NAMES)
    raise
  # Its packages are not there, or it is no class, or another.
  except (ImportError, AttributeError, TypeError) as error:
    raise ValueError(
      f'ingest: --beam_runner={name} cannot be used: {error}'
    ) from error
  if not isinstance(found, runners.PipelineRunner):
    raise ValueError(
      f'ingest: --beam_runner={name} is no runner of Apache Beam, expected one '
      f'of {", ".join(StandardOptions.KNOWN_RUNNER_NAMES)}'
    )
  return found


def _checked(options: str) -> list[str]:
  """The words of these options, all of which Beam knows."""
  from apache_beam.options.pipeline_options import PipelineOptions

  what, parsers = f'ingest: --beam_options={options!r}', []
  # It gives its parser, which has all options, to who wants to add to it.
  known = PipelineOptions([]).get_all_options(add_extra_args_fn=parsers.append)
  # Or it prints all of them, and ends the process.
  parsers[0].exit_on_error = False
  try:
    words = shlex.split(options)
    parsed, unknown = parsers[0].parse_known_args(words)
  except (ValueError, argparse.ArgumentError) as error:
    raise ValueError(f'{what}: {error}') from error
  if unknown:
    name = unknown[0].partition('=')[0]
    nearest = names.nearest(name.lstrip('-'), [*known])
    raise ValueError(
      f'{what}: Apache Beam has no option {name}; did you mean --{nearest}?'
    )
  if parsed.runner:
    raise ValueError(
      f'{what}: the runner is given by --beam_runner={parsed.runner}'
    )
  return words


def run(
  out: steps.Folder,
  todo: Iterable[Mapping[str, Any]],
  recipe: Recipe,
  pipeline: Callable[[], Any],
):
  """Makes the planned shards.

  Args:
    out: folder of the data.
    todo: shards of `steps.plan` that are not finished.
    recipe: how to transcode.
    pipeline: see `prepared`.
  """
  import apache_beam as beam

  files = [
    (shard['shard'], position, shard['root'], name)
    for shard in todo
    for position, name in enumerate(shard['files'])
  ]
  part = functools.partial(_part, str(out), recipe)
  join = functools.partial(_join, str(out))
  with pipeline() as begin:
    _ = (
      begin
      | 'files' >> beam.Create(files)
      # Or a runner would fuse all of it into one worker.
      | 'spread' >> beam.Reshuffle()
      | 'transcode' >> beam.Map(part)
      | 'shard' >> beam.GroupByKey()
      | 'join' >> beam.Map(join)
    )


def _part(
  out: str, recipe: Recipe, file: tuple[int, int, str, str]
) -> tuple[int, int]:
  """(shard, position) of a file whose part is there now, or in its shard."""
  shard, position, root, name = file
  folder = base_files.path(out)
  # Beam may do again what it has done, also after the shard has taken it.
  done = steps.part(folder, shard, position), steps.summary(folder, shard)
  if not any(map(base_files.exists, done)):
    steps.make_part(folder, shard, position, root, name, recipe)
  return shard, position


def _join(out: str, group: tuple[int, Iterable[int]]):
  shard, positions = group
  steps.make_shard(base_files.path(out), shard, len(list(positions)))
