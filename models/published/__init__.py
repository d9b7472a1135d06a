"""The public weights of 4DS and MooG: load them, use them, write them.

    from models import published
    model = published.load('scaling4d_dist_b_depth.npz')
    depth = model(video)

`python -m models.published info|convert|export` does the rest. Layouts are
those of google-deepmind/representations4d, so that what `export` writes of our
own models loads there too. Sizes are read off the shapes in a file.
"""

from models.published.config import head_options, model_options
from models.published.models import Published, load

__all__ = ['Published', 'head_options', 'load', 'model_options']
