"""MooG, "Moving Off-the-Grid" (arXiv 2411.05927): an objective in a folder.

From here comes what `models/objective.py` asks of an objective.
"""

from models.moog.objective import MooG, make

__all__ = ['MooG', 'make']
