"""DAVIS 2017, semi-supervised (arXiv 1704.00675): objects of the first frame.

As published: PATH/ImageSets/2017/val.txt names sequences, of which
PATH/JPEGImages/480p/NAME/00000.jpg ... are the frames and
PATH/Annotations/480p/NAME/00000.png ... the objects: PNG with a palette, whose
index is the number of the object, 0 the background.
"""

from data import require
from data.sequences import folder

VOID = 255  # as the official code has it: no object


def sequences(
  path: str, *, split: str = 'val', resolution: str = '480p'
) -> list[folder.Segmented]:
  """The sequences of a split, in the order of its list.

  Args:
    path: the folder named DAVIS.
    split: a list of ImageSets/2017.
    resolution: folder of pictures and of labels.

  Raises:
    ValueError: something is missing; all of the list must be there.
  """
  root = folder.root('davis', path)
  file = root / 'ImageSets' / '2017' / f'{split}.txt'
  return [
    folder.segmented(
      'davis',
      name,
      require.below('davis', root / 'JPEGImages' / resolution, name, file),
      require.below('davis', root / 'Annotations' / resolution, name, file),
    )
    for name in folder.listed('davis', file)
  ]
