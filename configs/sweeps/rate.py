r"""Learning rates, searched by Optuna, for `python -m launch.sweep --search=`.

A function takes a trial, and returns what those of other sweeps yield: the
recipe under 'config', and overrides. On a laptop, where 60 steps tell little:

    python -m launch.sweep --config=configs/sweeps/rate.py --search=tiny \
      --trials=12 --at_once=2 --workdir=runs/rate
"""

from typing import Any

from configs import common


def search_tiny(trial: Any, arg: str = '') -> dict[str, Any]:
  """The rate of a narrow quickstart. Arguments: steps."""
  args = common.parse(arg, steps=60)
  return {
    'config': f'configs/quickstart.py:steps={args["steps"]}',
    'model.dim': 64,
    'model.mlp': 256,
    'model.heads': 2,
    'optim.lr': trial.suggest_float('optim.lr', 3e-4, 3e-2, log=True),
    'optim.warmup_fraction': 1 / 6,
  }
