"""Shows what a data set holds, and that it can be read.

  python -m data.inspect                          the sources that there are
  python -m data.inspect DATA                     made by data.ingest
  python -m data.inspect VIDEO                    a file, before it is ingested
  python -m data.inspect world:frames=8,height=48           a source
  python -m data.inspect tapvid:path=DAVIS.pkl,keys=video+tracks

Of a single video it says what its streams, shape, times and colours are, what
is damaged, and what data.ingest would make of it (by its default recipe).

A source is a module of data/sources/, with options of its make(); several
values of one option are joined by +. All keys that it can give are read, unless
`keys` names some. Prints counts, reads some records from end to end, checks
them (`data/inspect/check.py`), and draws a contact sheet: time from left to
right, labels on the video, depth and objects below it. How many of those that
were read fit on it is in `data/inspect/records.py`. Ends with an error if a
record is bad.
"""

import pathlib

from absl import flags

from base import command
from data.source import BadRecord

_OUT = flags.DEFINE_string(
  'out',
  '',
  'The picture. If not set, DATA/contact.png; of DATA in a store, contact.png '
  'here; of a source, contact-SOURCE.png here.',
)
_RECORDS = flags.DEFINE_integer(
  'records',
  12,
  'Records to read of a folder, or of each split of a source, evenly spread; '
  '0: all.',
  lower_bound=0,
)
_SPLIT = flags.DEFINE_string(
  'split', '', 'Of a source; all that it has if not set.'
)


def main(words: list[str]) -> None:
  """Prints, checks and draws; ends with an error if a record is bad."""
  from data import remote
  from data.film import told
  from data.inspect import file, records

  if not words:
    print(records.sources())
    return
  path = remote.path(words[0])
  if path.is_file():
    try:
      for line in file.describe(path):
        print(line)
    except BadRecord as error:
      raise SystemExit(f'inspect: ingestion refuses it: {error}') from error
    return
  out = pathlib.Path(_OUT.value) if _OUT.value else None
  found = records.inspect(words[0], _SPLIT.value, _RECORDS.value, out)
  if found['bad']:
    raise SystemExit(f'inspect: {told.count("fault", len(found["bad"]))}')


if __name__ == '__main__':
  words = 'a folder made by data.ingest, a video, or a source'
  command.run(main, words=words, least=0, most=1)
