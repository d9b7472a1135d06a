"""How a run goes, for people: its scalars, samples, and where its time goes."""

from train.progress.clock import Clock
from train.progress.goodput import BUCKETS, Bill, Goodput, read
from train.progress.reading import Progress

__all__ = ['BUCKETS', 'Bill', 'Clock', 'Goodput', 'Progress', 'read']
