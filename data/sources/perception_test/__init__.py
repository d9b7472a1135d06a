"""Perception Test: point tracks and object boxes of filmed scenes."""

from data.sources.perception_test.source import KEYS, make

__all__ = ['KEYS', 'make']
