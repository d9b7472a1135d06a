"""Plays drills: `python -m launch.drill local`, or `all`.

It breaks what may break in real programs on this machine, prints each thing
that it does, and ends with exit code 1 where a launcher, a checkpoint or a stop
does not keep its promise.
"""

import importlib
import pathlib
import tempfile
import time
from collections.abc import Sequence
from subprocess import SubprocessError

from absl import flags

from base import command, console, names

# A module here each, with `drill(folder)`.
DRILLS = (
  *('damage', 'failures', 'kills', 'local', 'pod', 'slurm', 'stops'),
  *('sweep', 'topology'),
)
_FOLDER = flags.DEFINE_string(
  'folder', '', 'Of what the drill writes, kept for a look; a new one in /tmp.'
)
_REPORT = flags.DEFINE_string(
  'report', '', 'Document whose part between two markers says what was found.'
)
_FLIPS = flags.DEFINE_integer(
  'flips', 200, 'Bits that `damage` flips, one at a time.', lower_bound=0
)


def main(words: Sequence[str]) -> None:
  """Plays one of them, or all."""
  from base import files
  from launch import marked
  from launch.drill import report

  chosen = words if words != ['all'] else DRILLS
  for name in chosen:
    names.choose('drill', name, (*DRILLS, 'all'))
  folder = _FOLDER.value or tempfile.mkdtemp(prefix='scale4d-drill-')
  above = pathlib.Path(folder).absolute()
  if above.exists() and any(above.iterdir()):
    raise ValueError(f'--folder={folder} is not empty: choose a new one')
  text = pathlib.Path(_REPORT.value).read_text() if _REPORT.value else ''
  if text:
    marked.put(text, '', report.BEGIN)  # before minutes are spent
  results = [_play(name, above / name) for name in chosen]
  if text:
    text = marked.put(text, report.text(results, text), report.BEGIN)
    files.write(_REPORT.value, text)
  console.say('\n'.join(f'{result}' for result in results))
  # Of one that was asked for alone, that it was not played is no success.
  alone = len(results) == 1
  wrong = [x.name for x in results if x.wrong or (alone and x.lacks)]
  if wrong:
    raise ValueError(f'not as promised: {", ".join(wrong)}; {folder} is left')


def _play(name: str, folder: pathlib.Path):
  from launch.drill import play, report

  folder.mkdir(parents=True, exist_ok=True)
  play.tell(f'drill {name}, in {folder}')
  options = {'flips': _FLIPS.value} if name == 'damage' else {}
  module = importlib.import_module(f'launch.drill.{name}')
  lacks = module.missing() if hasattr(module, 'missing') else ''
  if lacks:
    console.say(f'   it cannot be played here: {lacks}')
    return report.Result(name, lacks=lacks)
  began, before, rows, wrong = time.monotonic(), play.right(), [], ''
  try:
    rows = module.drill(folder, **options) or []
  except (ValueError, OSError, RuntimeError, SubprocessError) as error:
    # Of one that could not go on; the others are played.
    wrong = f'{error}'
    console.say(f'   WRONG: {wrong}')
  took = time.monotonic() - began
  right = play.right() - before
  return report.Result(name, checks=right, seconds=took, rows=rows, wrong=wrong)


if __name__ == '__main__':
  command.run(main, words=f'some of {", ".join(DRILLS)}, or all', most=None)
