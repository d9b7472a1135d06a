"""A run's folder: whose it is, what it was started with, by what and where."""

from train.workdir.claims import check_claim, claim, real
from train.workdir.contents import (
  COMMITTED,
  has_begun,
  is_whole,
  read_config,
  read_history,
  steps,
)
from train.workdir.environment import environment, record_start, versions
from train.workdir.identity import NEUTRAL, flatten
from train.workdir.longer import extended
from train.workdir.settling import GO_ON, Asked, settle

__all__ = [
  'COMMITTED',
  'GO_ON',
  'NEUTRAL',
  'Asked',
  'check_claim',
  'claim',
  'environment',
  'extended',
  'flatten',
  'has_begun',
  'is_whole',
  'read_config',
  'read_history',
  'real',
  'record_start',
  'settle',
  'steps',
  'versions',
]
