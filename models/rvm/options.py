"""The options of RVM: what is made of them, and which fit together."""

from collections.abc import Sequence

from base.names import choose
from models import vit
from models.nn.attention import resolve
from models.rvm.core import Core
from models.rvm.decoder import Decoder
from models.rvm.encoder import POSITIONS, Encoder
from models.rvm.layers import Stack
from models.rvm.objective import RVM


def make(
  *,
  size: str,
  dim: int | None,
  depth: int | None,
  mlp: int | None,
  heads: int | None,
  frames: int,
  height: int,
  width: int,
  patch: Sequence[int],
  sources: int,
  targets: int,
  gap: Sequence[int],
  mask_ratio: float,
  core_layers: int,
  core_heads: int | None,
  core_mlp: int | None,
  decoder_layers: int,
  decoder_dim: int,
  decoder_heads: int,
  decoder_mlp: int,
  normalise_target: bool,
  positions: str,
  dtype: str,
  remat: str,
  scan: bool,
  attention: str,
) -> RVM:
  """The objective; `configs/rvm.py` has the published values.

  Args:
    size: of the encoder, a name of `models.sizes.SIZES`.
    dim: another width of the residual stream than the size's, which is that of
      states too; None, here and below: the size's.
    depth: another number of blocks.
    mlp: another hidden width.
    heads: another number of attention heads.
    frames: of a training clip; features take any number.
    height: of a frame, pixels.
    width: of a frame, pixels.
    patch: height and width of a patch.
    sources: frames that are seen whole, the first ones of a clip.
    targets: later frames that are reconstructed.
    gap: the smallest and the largest number of frames between the last source
      and a target; different ones are drawn for each clip.
    mask_ratio: fraction of the patches of a target that are hidden.
    core_layers: blocks of the recurrent core.
    core_heads: its attention heads; None: the encoder's.
    core_mlp: hidden width of its MLPs; None: the encoder's.
    decoder_layers: blocks of the decoder.
    decoder_dim: its width.
    decoder_heads: its attention heads.
    decoder_mlp: hidden width of its MLPs.
    normalise_target: reconstruct each patch less its mean, over its standard
      deviation, in place of raw pixels.
    positions: where a patch is, a fixed table: 'sines', as published, or
      'waves', see `encoder.places`.
    dtype: of the arithmetic, float32 or bfloat16; parameters, the carried
      state, softmax and statistics are float32.
    remat: what the backward pass recomputes of a block, and of a time step: a
      name of `stack.REMAT`.
    scan: scan over the layers and over time, or unroll both.
    attention: see `models.nn.attention.attend`.

  Raises:
    ValueError: an unknown name, or numbers that do not fit together.
  """
  for option, pair in {'patch': patch, 'gap': gap}.items():
    if len(pair) != 2:
      raise ValueError(f'model.{option}={tuple(pair)} must be two numbers.')
  how = {'dtype': dtype, 'attention': attention, 'scan': scan}
  backbone = vit.backbone(
    (1, height, width),
    **{'size': size, 'dim': dim, 'depth': depth, 'mlp': mlp, 'heads': heads},
    **{'patch': (1, *patch), 'remat': remat, 'positions': 'normal', **how},
  )
  own = backbone.size
  encoder = Encoder(backbone, choose('model.positions', positions, POSITIONS))
  core = Stack(
    width=own.width,
    seen=own.width,
    layers=core_layers,
    heads=own.heads if core_heads is None else core_heads,
    mlp=own.mlp if core_mlp is None else core_mlp,
    groups=1,
    remat='none',  # of a time step, not of a block
    **how,
  )
  look = Stack(
    width=decoder_dim,
    seen=own.width,
    layers=decoder_layers,
    heads=decoder_heads,
    mlp=decoder_mlp,
    groups=targets,
    remat=remat,
    **how,
  )
  for name, stack in (('core', core), ('decoder', look)):
    _check_stack(name, stack)
  ph, pw = backbone.patch[1:]
  # The decoder's keys are all source states: more than those of a frame.
  resolve(attention, sources * (backbone.tokens + 1))
  objective = RVM(
    encoder=encoder,
    core=Core(core),
    decoder=Decoder(look, encoder.grid, ph * pw * 3, gap[-1], positions),
    frames=frames,
    sources=sources,
    gap=tuple(gap),
    mask_ratio=mask_ratio,
    normalise_target=normalise_target,
    remat=remat,
    scan=scan,
  )
  _check(objective)
  return objective


def _check_stack(name: str, stack: Stack) -> None:
  """Check.

  Raises:
    ValueError: numbers of the core or of the decoder that do not fit.
  """
  for option in ('layers', 'heads', 'mlp'):
    if getattr(stack, option) < 1:
      raise ValueError(
        f'model.{name}_{option} must be at least 1, got '
        f'{getattr(stack, option)}.'
      )
  if stack.width < 1 or stack.width % stack.heads:
    raise ValueError(
      f'model.{name}_heads={stack.heads} must divide the {name}, which is '
      f'{stack.width} wide.'
    )


def _check(objective: RVM) -> None:
  """Check.

  Raises:
    ValueError: numbers that do not fit together.
  """
  least, most = objective.gap
  sources, targets = objective.sources, objective.targets
  for option, count in (('sources', sources), ('targets', targets)):
    if count < 1:
      raise ValueError(f'model.{option} must be at least 1, got {count}.')
  if not 1 <= least <= most or most - least + 1 < targets:
    raise ValueError(
      f'model.gap={objective.gap} must be two numbers of frames, from 1 up, '
      f'with model.targets={targets} different ones between them.'
    )
  if objective.frames < sources + most:
    raise ValueError(
      f'model.frames={objective.frames} must be at least {sources + most}: '
      f'model.sources={sources}, and a target model.gap={objective.gap} frames '
      'after them.'
    )
  ratio, tokens = objective.mask_ratio, objective.encoder.backbone.tokens
  if not 0 <= ratio < 1 or objective.visible < 1:
    raise ValueError(
      f'model.mask_ratio must be at least 0 and leave a patch, got {ratio}: of '
      f'{tokens} patches of a frame {max(objective.visible, 0)} are seen. '
      'Lower it, or make patches smaller.'
    )
