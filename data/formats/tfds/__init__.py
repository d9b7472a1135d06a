"""Data sets as TensorFlow Datasets writes them: folders, and their records."""

from data.formats.tfds.described import Described, class_names, described
from data.formats.tfds.example import Feature, features, fields
from data.formats.tfds.folder import Folder, open_folder
from data.formats.tfds.pictures import frames

__all__ = [
  'Described',
  'Feature',
  'Folder',
  'class_names',
  'described',
  'features',
  'fields',
  'frames',
  'open_folder',
]
