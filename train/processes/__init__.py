"""The processes of a run: they join, meet, and compute the same thing."""

from train.processes.cluster import detected
from train.processes.joining import join, notice, part, up, watch_for_notices
from train.processes.meetings import agree, gather, meet, stuck_at

__all__ = [
  'agree',
  'detected',
  'gather',
  'join',
  'meet',
  'notice',
  'part',
  'stuck_at',
  'up',
  'watch_for_notices',
]
