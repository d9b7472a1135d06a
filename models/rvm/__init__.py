"""RVM, recurrent video masked autoencoding (arXiv 2512.13684): a folder.

From here comes what `models/objective.py` asks of an objective.
"""

from models.rvm.objective import RVM
from models.rvm.options import make

__all__ = ['RVM', 'make']
