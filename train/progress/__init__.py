"""How a run goes, for people: its scalars, and where its time goes."""

from train.progress.clock import Clock
from train.progress.reading import Progress

__all__ = ['Clock', 'Progress']
