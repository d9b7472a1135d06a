"""Scalars and pictures of a run, where a person watches them."""

from train.writer.background import Writer
from train.writer.record import SAMPLES, Left

__all__ = ['SAMPLES', 'Left', 'Writer']
