"""Features of videos of any length: windows -> backbone -> OUT/NAME.npz."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from base import files
from base.console import progress, say
from data.film import told
from data.ingest import search
from evals import made_of, windows
from evals.features.backbone import Backbone, Options

_MADE_OF = 'features.json'
# What a folder of videos may hold of ours.
_OURS = ('.npz', _MADE_OF)


def write(
  *,
  checkpoint: str,
  videos: str,
  out: str,
  options: Options,
  step: int = -1,
  batch_size: int = 8,
) -> dict[str, Any]:
  """Writes the features of each video, those that are not there yet.

  Args:
    checkpoint: folder of a pretraining run.
    videos: a file, a folder or a pattern, as `data.ingest` takes it.
    out: folder; DIR/a/b.mp4 is OUT/a/b.mp4.npz, whose arrays are
      'depth_0.95' [s n d], or [s d] pooled, and 'frames' [s], the number of the
      first frame of each time step in the film.
    options: what is kept.
    step: of the checkpoint; -1: the last.
    batch_size: windows at once, of a backbone that carries no state.

  Returns:
    'videos' and 'frames' that were written, the 'seconds' that took, and those
    'there' before.

  Raises:
    ValueError: OUT holds features of something else; or nothing can be read.
    RuntimeError: some videos cannot be read; all others are written.
  """
  if not files.is_local(out):
    raise ValueError(f'--out={out} must be a folder of a disk')
  root, names = search.find(videos, out)
  names = [name for name in names if not name.endswith(_OURS)]
  if not names:
    raise ValueError(f'--videos={videos!r} matches none but features')
  backbone = Backbone(checkpoint, step, options)
  files.make_folder(out, '--out')
  made_of.claim(
    *(out, _MADE_OF, 'features'),
    {
      **{'model': backbone.model, 'step': backbone.step},
      **{'saved': backbone.saved, 'as': dataclasses.asdict(options)},
    },
  )
  left = [name for name in names if not files.exists(f'{out}/{name}.npz')]
  refused, frames, began = {}, 0, time.perf_counter()
  with progress('features', len(left), 'video') as bar:
    for name in left:
      try:
        arrays = _of_video(backbone, f'{root}/{name}', options, batch_size)
      except ValueError as error:
        refused[name] = str(error)
        say(f'{error}')
      else:
        frames += arrays.pop('seen')
        path = files.path(f'{out}/{name}.npz')
        files.make_parents(path)
        with files.replacing(path) as draft, open(draft, 'wb') as file:
          np.savez(file, **arrays)
      bar.update(1)
  took = time.perf_counter() - began
  written = len(left) - len(refused)
  say(
    f'{told.count("video", written)} of {frames:,} frames in {took:.1f} s, '
    f'{frames / max(took, 1e-9):.1f} frames/s, in {out}; '
    f'{len(names) - len(left)} were there'
  )
  if refused:
    raise RuntimeError(
      f'{told.count("video", len(refused))} of {len(left)} could not be read, '
      f'such as {next(iter(refused.values()))}'
    )
  return {
    **{'videos': written, 'frames': frames, 'seconds': took},
    'there': len(names) - len(left),
  }


def _of_video(
  backbone: Backbone, path: str, options: Options, batch_size: int
) -> dict[str, Any]:
  """The arrays of a video's file, and 'seen', the frames that were."""
  parts: dict[str, list] = {f'{depth:g}': [] for depth in options.depths}
  starts, seen, state = [], 0, None
  together = 1 if backbone.carries else batch_size
  pending: list = []

  def keep(batch, found):
    nonlocal seen
    for place, window in enumerate(batch):
      for depth, tokens in found.items():
        steps = tokens.shape[1]
        # Of frames that only fill a window there are none.
        real = -(-window.count * steps // len(window.clip))
        parts[depth].append(np.asarray(tokens[place, :real]))
      every = len(window.clip) // steps * options.stride
      starts.extend(window.start + every * np.arange(real))
      seen += window.count

  with windows.opened(path, stride=options.stride, crop=options.crop) as film:
    for batch in _batches(film.windows(*backbone.clip), together):
      clips = np.stack([window.clip for window in batch])
      # Of one shape, so that one program is compiled.
      more = together - len(batch)
      clips = np.concatenate([clips, np.repeat(clips[-1:], more, axis=0)])
      found, state = backbone(clips, state)
      # While it is computed, the next ones are decoded.
      pending.append((batch, found))
      if len(pending) > 1:
        keep(*pending.pop(0))
  for each in pending:
    keep(*each)
  arrays = {
    f'depth_{depth}': np.concatenate(each) for depth, each in parts.items()
  }
  for name, values in arrays.items():
    if not np.isfinite(values).all():
      raise ValueError(
        f'{path}: {name} is not finite in {options.dtype}: use --dtype=float32'
      )
  return {**arrays, 'frames': np.asarray(starts), 'seen': seen}


def _batches(
  film: Iterator[windows.Window], size: int
) -> Iterator[list[windows.Window]]:
  batch = []
  for window in film:
    batch.append(window)
    if len(batch) == size:
      yield batch
      batch = []
  if batch:
    yield batch
