"""Plays a drill: `python -m launch.drill local`.

It breaks what may break in real programs on this machine, prints each thing
that it does, and ends with exit code 1 where a launcher, a checkpoint or a stop
does not keep its promise.
"""

import importlib
import pathlib
import tempfile
from collections.abc import Sequence

from absl import flags

from base import command, names

# A module here each, with `drill(folder)`.
DRILLS = ('damage', 'local', 'pod', 'slurm', 'stops', 'sweep')
_FOLDER = flags.DEFINE_string(
  'folder', '', 'Of what the drill writes, kept for a look; a new one in /tmp.'
)
_FLIPS = flags.DEFINE_integer(
  'flips', 200, 'Bits that `damage` flips, one at a time.', lower_bound=0
)


def main(words: Sequence[str]) -> None:
  """Plays one of them."""
  from launch.drill import play

  name = names.choose('drill', words[0], DRILLS)
  folder = _FOLDER.value or tempfile.mkdtemp(prefix=f'scale4d-drill-{name}-')
  path = pathlib.Path(folder).absolute()
  if path.exists() and any(path.iterdir()):
    raise ValueError(f'--folder={folder} is not empty: choose a new one')
  path.mkdir(parents=True, exist_ok=True)
  play.tell(f'drill {name}, in {folder}')
  options = {'flips': _FLIPS.value} if name == 'damage' else {}
  importlib.import_module(f'launch.drill.{name}').drill(path, **options)
  play.tell('all checks are right')


if __name__ == '__main__':
  command.run(main, words=f'one of {", ".join(DRILLS)}', most=1)
