"""Times a CPU training step beside HuggingFace's VideoMAE.

    python -m launch.bench.peers.videomae

4DS-S against VideoMAE in PyTorch: 16x224x224 clips, width 384, 12 blocks, 78
visible tokens, a decoder of two blocks; forward, backward and AdamW, float32.
They take turns on this machine, each in its own process, so that whatever
else runs slows both. Install the peer with `pip install --group peers`.
"""

import importlib.util
import statistics
import sys

from absl import flags

from base import command
from launch.bench import turns

_ROUNDS = flags.DEFINE_integer(
  'rounds', 11, 'Timed steps of each.', lower_bound=1
)
_CLIPS = flags.DEFINE_integer('clips', 2, 'Clips per step.', lower_bound=1)
_PYTHON = flags.DEFINE_string(
  'python', sys.executable, 'Interpreter that has torch and transformers.'
)


def peer_flops(clips: int, visible: int) -> dict[str, float]:
  """Model FLOPs of one step of VideoMAE ViT-S, by part.

  Counted as `models.mae` counts: per token of a block 4 d^2 multiply-adds of
  projections, 8 d^2 of the MLP, 2 n d of attention; a multiply-add is 2, a
  step 3 times the forward pass (the patch embedding, which embeds masked
  patches as well, twice). d = 384, patches have 1536 values, n = 1568.
  """
  width, pixels, tokens = 384, 1536, 1568

  def blocks(count, n):
    return 2.0 * count * n * (12 * width**2 + 2 * n * width)

  forward = {
    'encoder': blocks(12, visible) + 2.0 * visible * width**2,
    'decoder': blocks(2, tokens),
    'head': 2.0 * (tokens - visible) * width * pixels,
  }
  step = {part: 3.0 * clips * count for part, count in forward.items()}
  return {'patchify': 4.0 * clips * tokens * width * pixels, **step}


def check_peer(python: str) -> None:
  """Raises ValueError if this interpreter was named and has no peer."""
  if python == sys.executable and not (
    importlib.util.find_spec('torch')
    and importlib.util.find_spec('transformers')
  ):
    raise ValueError(
      'the peer needs torch and transformers, which are not here: `pip install '
      '--group peers`, or name an interpreter that has them with --python'
    )


def table(
  ours: list[float], theirs: list[float], flops: float, peer: float
) -> str:
  """What is printed: medians, FLOPs, achieved FLOP/s and their ratios."""
  lines = [f'{"":24}{"sec/step":>10}{"GFLOP/step":>12}{"GFLOP/s":>9}']
  rows = (('scale4d 4DS-S', ours, flops), ('HF VideoMAE ViT-S', theirs, peer))
  for name, seconds, count in rows:
    median = statistics.median(seconds)
    rate = count / median / 1e9
    lines.append(f'{name:24}{median:10.3f}{count / 1e9:12.1f}{rate:9.1f}')
  ratios = {
    'median of pairs': turns.ratio(ours, theirs),
    'fastest of each': min(theirs) / min(ours),
  }
  for name, ratio in ratios.items():
    lines.append(
      f'{name}: {ratio:.2f} times faster, '
      f'{ratio * flops / peer:.2f} times the FLOP/s'
    )
  return '\n'.join(lines)


def main() -> None:
  """Prints the table."""
  from configs import mae
  from launch import recipe
  from launch.bench.running import running
  from train import malloc
  from train import mesh as mesh_lib

  malloc.keep()
  clips, python = _CLIPS.value, _PYTHON.value
  check_peer(python)
  config = mae.get_config(f'size=S,batch_size={clips}').to_dict()
  config['model'] |= {'dtype': 'float32', 'remat': 'none'}
  config['optim']['clip_norm'] = 0.0  # nor does the peer clip
  program = recipe.program(config, mesh_lib.make())
  visible = program.objective.visible
  peer = [
    python,
    '-m',
    'launch.bench.peers.videomae_server',
    str(clips),
    str(visible),
  ]
  with turns.peer(peer, needs='torch and transformers') as process:
    step = running(program)
    step()
    step()
    ours, theirs = turns.take(step, process, _ROUNDS.value)
  flops = program.flops()
  peers = peer_flops(clips, visible)
  for name, parts in (('scale4d', flops), ('HF VideoMAE', peers)):
    counts = ', '.join(f'{p} {count / 1e9:.1f}' for p, count in parts.items())
    print(f'GFLOP per step of {name}: {counts}')
  print(table(ours, theirs, sum(flops.values()), sum(peers.values())))


if __name__ == '__main__':
  command.run(main, required=[])
