"""What a larger model will reach, written down before it is trained."""

from launch.scaling.forecast.file import make, read, write

__all__ = ['make', 'read', 'write']
