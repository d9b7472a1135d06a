"""Turns a folder of videos into records that train fast.

  python -m data.ingest --videos='DIR/**' --out=DATA

Takes every file that the pattern matches, of any container and codec that
FFmpeg knows (mp4, mov, mkv, webm, avi, ...), transcodes it as
`data/ingest/recipe.py` says, decodes the result back, and writes shards
(`data/formats/shards.py`). A file that is empty, too short or not a video is
refused, and listed with the reason in quarantine.jsonl; of one that is damaged
or truncated what decodes is kept, and what does not is listed there. What else
was done (pauses, turns, HDR ...: docs/data.md) is told at the end.

Stop it at any time: the same command goes on where it stopped. Run it again
with more videos in DIR, or with another DIR, and they are added as new shards;
finished shards never change. A file that was ingested is not looked at again.
DATA may lie above the videos, among or below them: of the files that match,
those that ingestion itself wrote there are left out, by name, and no others.
As in a shell, names that begin with a dot match where the pattern has the dot.

About 3 core-seconds per 10 seconds of 480p video. It scales out on any Apache
Beam runner whose workers see DIR and DATA as folders (NFS, Lustre, a mounted
bucket): `pip install --group beam`, then `--beam_runner=DirectRunner`,
`DataflowRunner`, ... with `--beam_options='--project=P --region=R'`.
"""

import os

from absl import flags

from base import command, exits, stops
from data.ingest.recipe import Recipe

_VIDEOS = flags.DEFINE_string(
  'videos', None, "Pattern of the video files, e.g. 'DIR/**' (quoted)."
)
_OUT = flags.DEFINE_string('out', None, 'Folder to write.')
_WORKERS = flags.DEFINE_integer(
  'workers', os.cpu_count(), 'Processes, each of one thread.', lower_bound=1
)
_SHORT_SIDE = flags.DEFINE_integer(
  'short_side', Recipe.short_side, 'Pixels, at most.'
)
_MAX_FPS = flags.DEFINE_integer(
  'max_fps', Recipe.max_fps, 'Frames per second, at most.'
)
_CRF = flags.DEFINE_integer(
  'crf', Recipe.crf, 'Quality of x264; 3 less is half as large again.'
)
_PRESET = flags.DEFINE_string('preset', Recipe.preset, 'Effort of x264.')
_CHUNK = flags.DEFINE_integer(
  'chunk_frames', Recipe.chunk_frames, 'Frames of a record.'
)
_OVERLAP = flags.DEFINE_integer(
  'overlap_frames', Recipe.overlap_frames, 'Frames that two records share.'
)
_MIN_FRAMES = flags.DEFINE_integer(
  'min_frames', Recipe.min_frames, 'Refuse shorter videos.'
)
_PER_SHARD = flags.DEFINE_integer(
  'files_per_shard', 256, 'At most.', lower_bound=1
)
_LIMIT = flags.DEFINE_integer(
  'limit_s', 7200, 'Seconds that a file may take.', lower_bound=1
)
_BEAM_RUNNER = flags.DEFINE_string('beam_runner', None, 'Apache Beam runner.')
_BEAM_OPTIONS = flags.DEFINE_string('beam_options', '', "The runner's options.")


def main() -> None:
  """Ingests, and says what the folder now holds."""
  from base import files
  from data.ingest import folder

  if not _OUT.value:
    raise ValueError('--out is empty: name the folder to write')
  if _BEAM_RUNNER.value is not None:
    for flag in (_WORKERS, _LIMIT):
      if flag.present:
        raise ValueError(
          f'--{flag.name} is of this machine alone, and --beam_runner='
          f'{_BEAM_RUNNER.value} is given: leave one out; how many workers a '
          'runner has is among --beam_options'
        )
  # As who reads them has it; most shells leave it within a flag.
  out = _OUT.value
  out = files.path(os.path.expanduser(out) if files.is_local(out) else out)
  # What is finished is on disk at any time.
  with stops.taken(_stop):
    manifest = folder.ingest(
      _VIDEOS.value,
      out,
      Recipe(
        short_side=_SHORT_SIDE.value,
        max_fps=_MAX_FPS.value,
        crf=_CRF.value,
        preset=_PRESET.value,
        chunk_frames=_CHUNK.value,
        overlap_frames=_OVERLAP.value,
        min_frames=_MIN_FRAMES.value,
      ),
      workers=_WORKERS.value,
      per_shard=_PER_SHARD.value,
      limit_s=_LIMIT.value,
      beam_runner=_BEAM_RUNNER.value,
      beam_options=_BEAM_OPTIONS.value,
    )
  print(folder.report(out, manifest))
  if not manifest['records']:
    raise SystemExit('ingest: no video was accepted: nothing to train on')


def _stop(name: str) -> None:
  print(f'ingest: stopped by {name}; the same command goes on', flush=True)
  stops.end(exits.AGAIN)


if __name__ == '__main__':
  command.run(main, required=['videos', 'out'], goes_on=True)
