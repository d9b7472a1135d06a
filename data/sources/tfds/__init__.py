"""Any data set of videos that TensorFlow Datasets has prepared."""

from data.sources.tfds.source import KEYS, ONE_OF, make

__all__ = ['KEYS', 'ONE_OF', 'make']
