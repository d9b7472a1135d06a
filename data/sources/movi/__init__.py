"""MOVi-E: rendered clips of falling scanned objects, with all labels."""

from data.sources.movi.source import KEYS, make

__all__ = ['KEYS', 'make']
