"""Ingestion on Apache Beam: the same steps, on the machines of its runner.

Workers need this checkout and its requirements (a container image, in the
runner's options) and must see the folders of the videos and of the data.
"""

import functools
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from base import files as base_files
from data.ingest import steps
from data.ingest.recipe import Recipe


def run(
  out: steps.Folder,
  todo: Iterable[Mapping[str, Any]],
  recipe: Recipe,
  runner: str,
  options: str,
):
  """Makes the planned shards.

  Args:
    out: folder of the data.
    todo: shards of `steps.plan` that are not finished.
    recipe: how to transcode.
    runner: 'DirectRunner', 'DataflowRunner', ...
    options: of the runner, as on its command line.

  Raises:
    ValueError: Apache Beam is not installed.
  """
  try:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
  except ModuleNotFoundError as error:
    raise ValueError(
      f'ingest: --beam_runner={runner} needs Apache Beam: '
      'pip install --group beam'
    ) from error
  files = [
    (shard['shard'], position, shard['root'], name)
    for shard in todo
    for position, name in enumerate(shard['files'])
  ]
  part = functools.partial(_part, str(out), recipe)
  join = functools.partial(_join, str(out))
  with beam.Pipeline(
    runner=runner, options=PipelineOptions(shlex.split(options))
  ) as pipeline:
    _ = (
      pipeline
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
