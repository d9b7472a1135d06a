"""Any data set of videos that TensorFlow Datasets has prepared."""

from data.sources.tfds.source import KEYS, make

__all__ = ['KEYS', 'make']
