"""Benchmarks: readouts on frozen features, metrics, reports."""

from collections.abc import Mapping
from typing import Any


def is_readout(config: Mapping[str, Any]) -> bool:
  """Whether a recipe, or a run's config.json, is of readouts.

  Otherwise it is of pretraining. Here, since it is asked before JAX is wanted.
  """
  return 'tasks' in config
