"""Files of data sets, on a disk or in an object store: what readers open.

A path of a disk is a `pathlib.Path`, which all goes past here. One of a store
is a `Remote`, with the same words (`path`); its files are brought whole to a
folder of this machine, which has a limit (`cache`), and ahead of the step that
needs them (`ahead`). Readers and what they read are the same.
"""

from data.remote.ahead import Ahead
from data.remote.cache import Cache, cached, heard_by
from data.remote.path import (
  Path,
  Remote,
  bring,
  files_below,
  kept_open,
  local,
  mend,
  once,
  path,
)

__all__ = [
  'Ahead',
  'Cache',
  'Path',
  'Remote',
  'bring',
  'cached',
  'files_below',
  'heard_by',
  'kept_open',
  'local',
  'mend',
  'once',
  'path',
]
