"""The ground floor: names, files, lines for people, commands.

It imports none of the other rooms, and all of them may import it.
"""

import os

# Before etils.epath is used by anyone, such as Orbax: object stores are reached
# by fsspec. TensorFlow's way takes seconds to import, and can be tested against
# none.
os.environ.setdefault('EPATH_USE_TF', 'false')
# A list of a folder that was read once is read again: otherwise nothing that
# another process writes would ever be seen, such as a new checkpoint.
os.environ.setdefault('FSSPEC_GCS', '{"use_listings_cache": false}')
