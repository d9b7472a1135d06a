"""Whole labelled sequences, whose labels are carried on from the first frame.

Readers of benchmarks that are given as pictures of each frame, of any number
and size, in folders as published: see `Sequence`. Clips for training are in
`data/sources`.
"""

from data.sequences.folder import Sequence

__all__ = ['Sequence']
