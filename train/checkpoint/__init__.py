"""Checkpoints: asynchronous, with retention, and each proves itself.

Orbax writes the state (parameters, optimizer, step); nothing else is needed
to go on, since data and draws are functions of the step.
"""

from train.checkpoint.folders import find, steps
from train.checkpoint.layout import stored_shapes
from train.checkpoint.manager import Checkpoints, create
from train.checkpoint.reading import check_same, load, read, refuse, saved_at

__all__ = [
  'Checkpoints',
  'check_same',
  'create',
  'find',
  'load',
  'read',
  'refuse',
  'saved_at',
  'steps',
  'stored_shapes',
]
