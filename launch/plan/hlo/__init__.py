"""Reads a compiled program, and estimates what it takes.

What this module names is all that others import of the folder: inside, a file
may change with the text that the compiler writes.
"""

from launch.plan.hlo.collectives import DCN, seconds
from launch.plan.hlo.summary import examine

__all__ = ['DCN', 'examine', 'seconds']
