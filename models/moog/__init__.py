"""MooG, "Moving Off-the-Grid" (arXiv 2411.05927): an objective in a folder."""

from models.moog.objective import make

__all__ = ['make']
