"""The built-in 4D world: solids in a room, drawn here, labelled exactly."""

from data.sources.world.source import KEYS, make

__all__ = ['KEYS', 'make']
