"""Times MooG's training step beside the published modules, variant A.

    python -m launch.bench.peers.moog --official=INTERPRETER

INTERPRETER has kauldron and google-deepmind/representations4d (its package
`moog`). Forward, backward and update in float32, 128 x 128, of the same
34.7M parameters, unrolled over time, each compiled, each in its own process;
they take turns, so that whatever else runs slows both.
"""

import statistics

from absl import flags

from base import command
from launch.bench import turns

_PYTHON = flags.DEFINE_string(
  'official', None, 'Interpreter with the published modules.'
)
_FRAMES = flags.DEFINE_integer('frames', 8, 'Of a clip.', lower_bound=1)
_CLIPS = flags.DEFINE_integer('clips', 1, 'Clips per step.', lower_bound=1)
_ROUNDS = flags.DEFINE_integer(
  'rounds', 5, 'Timed steps of each.', lower_bound=1
)
_REMAT = flags.DEFINE_string(
  'remat', 'none', 'What we recompute; the published step recomputes nothing.'
)


def main() -> None:
  """Prints seconds of both, and their ratio."""
  from configs import moog
  from launch import recipe
  from launch.bench.running import running
  from train import malloc, mesh

  malloc.keep()
  clips, frames = _CLIPS.value, _FRAMES.value
  config = moog.get_config(f'data=movi_e,path=-,batch_size={clips}').to_dict()
  config['model'] |= {'dtype': 'float32', 'remat': _REMAT.value}
  # As the published step is; a scan is for memory and compile time.
  config['model'] |= {'frames': frames, 'scan': False}
  peer = [_PYTHON.value, '-m', 'launch.bench.peers.moog_server']
  peer += [str(clips), str(frames)]
  needs = 'kauldron and representations4d'
  with turns.peer(peer, needs=needs) as process:
    step = running(recipe.program(config, mesh.make()))
    step()
    step()
    ours, theirs = turns.take(step, process, _ROUNDS.value)
  ratio = turns.ratio(ours, theirs)
  print(
    f'{clips} clips of {frames} frames: scale4d {statistics.median(ours):.2f} '
    f's, published {statistics.median(theirs):.2f} s, {ratio:.2f} times '
    'faster (median of pairs)'
  )


if __name__ == '__main__':
  command.run(main, required=['official'])
