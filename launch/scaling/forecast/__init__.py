"""What a larger model will reach, written down before it is trained."""

from launch.scaling.forecast.file import make, read, series_of, write

__all__ = ['make', 'read', 'series_of', 'write']
