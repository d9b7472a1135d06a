"""Times 4DS-B with depth beside the official code: same file, same clip.

  python -m launch.bench.peers.official --official=INTERPRETER [--weights=FILE]

INTERPRETER has kauldron and google-deepmind/representations4d. Forward pass of
one clip of 16 x 224 x 224 in float32, each compiled, each in its own process;
they take turns, so that whatever else runs slows both.
"""

import os
import statistics
import tempfile

from absl import flags

from base import command
from launch.bench import turns

_PYTHON = flags.DEFINE_string(
  'official', None, 'Interpreter with the official code.'
)
_WEIGHTS = flags.DEFINE_string(
  'weights', '', 'The published file; zeros of its shapes, if empty.'
)
_TURNS = flags.DEFINE_integer(
  'turns', 5, 'Timed passes of each.', lower_bound=1
)


def zeros(path: str) -> None:
  """Writes a file of the published names and shapes, all zero."""
  import numpy as np

  from models.published import files, names
  from models.published.tables import parts

  sizes = {
    'backbone': {
      **{'l': 12, 'd': 768, 'k': 12, 'e': 64, 'm': 3072, 'pt': 2},
      **{'ph': 16, 'pw': 16, 't': 8, 'h': 14, 'w': 14},
    },
    'head': {
      **{'d': 768, 'k': 16, 'e': 64, 'frames': 16, 'queries': 6272},
      **{'outputs': 128},
    },
  }
  layout = names.layout_of(
    'depth', parts('depth', {}, published=True), sizes, ()
  )
  files.write(
    path,
    {
      key: np.zeros(leaf.published, np.float32)
      for leaf in layout.leaves.values()
      for key in leaf.keys
    },
  )


def main() -> None:
  """Prints seconds of both, and their ratio."""
  import jax
  import numpy as np

  from models import published
  from train import malloc

  malloc.keep()
  with tempfile.TemporaryDirectory() as folder:
    path = _WEIGHTS.value or os.path.join(folder, 'zeros.npz')
    if not _WEIGHTS.value:
      zeros(path)
    model = published.load(path)
    peer = [_PYTHON.value, '-m', 'launch.bench.peers.official_server', path]
    needs = 'kauldron and representations4d'
    with turns.peer(peer, needs=needs) as process:
      video = np.full((1, 16, 224, 224, 3), 0.5, np.float32)

      def step():
        jax.block_until_ready(model(video))

      step()
      ours, theirs = turns.take(step, process, _TURNS.value)
  ratio = turns.ratio(ours, theirs)
  print(
    f'scale4d {statistics.median(ours):.2f} s, official '
    f'{statistics.median(theirs):.2f} s, {ratio:.2f} times faster (median of '
    'pairs)'
  )


if __name__ == '__main__':
  command.run(main, required=['official'])
