"""Frames of a long video are counted, and carried by what can carry them."""

import pytest

from tests import commands

SMALL = [
  *('--config=configs/quickstart.py', '--config.data.batch_size=8'),
  *('--config.model.patch=(2,4,8)', '--config.model.output_patch=(4,8,8)'),
  *('--config.model.dim=16', '--config.model.mlp=32', '--config.model.heads=2'),
  *('--config.model.frames=4', '--config.model.height=16'),
  *('--config.model.width=24', '--config.model.depth=2', '--chunk=4'),
]


@pytest.mark.parametrize(
  ('command', 'frames', 'message'),
  [
    ('carried', '8,x', "flag --frames=['8', 'x']: expected whole numbers"),
    ('over_time', '0', "flag --frames=['0']: expected whole numbers"),
    ('carried', '6', '--frames=[6] must be multiples of --chunk=4'),
    ('carried', '8', '--config has model.name=mae, which carries no state'),
    # Whatever a chunk is, though it takes clips of 4 frames only.
    ('carried --chunk=8', '8', '--config has model.name=mae, which carries no'),
  ],
)
def test_what_cannot_be_followed_is_refused(command, frames, message):
  name, *more = command.split()
  options = SMALL if name == 'carried' else SMALL[:-1]
  line = (f'launch.bench.{name}', *options, *more)
  done = commands.run(*line, f'--frames={frames}')
  assert done.returncode == 1
  assert done.stderr.startswith(message)
  assert done.stderr.count('\n') == 1
