"""Scalars and pictures of a run, where a person watches them."""

from train.writer.background import Writer

__all__ = ['Writer']
