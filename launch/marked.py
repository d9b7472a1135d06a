"""A part of a document that a command writes: the lines between two markers."""

END = '<!-- to here -->'


def put(text: str, part: str, begin: str) -> str:
  """The document with another part between its markers.

  Args:
    text: of the document.
    part: what the command writes.
    begin: the line above it; that below it is END.

  Raises:
    ValueError: the markers are not in it, once and in order.
  """
  above, _, below = _parts(text, begin)
  return f'{above}{begin}\n{part}\n{END}{below}'


def get(text: str, begin: str) -> str:
  """What stands between the markers of a document; see `put`.

  Raises:
    ValueError: the markers are not in it.
  """
  return _parts(text, begin)[1].strip('\n')


def _parts(text: str, begin: str) -> tuple[str, str, str]:
  above, is_there, rest = text.partition(begin)
  part, closes, below = rest.partition(END)
  if not (is_there and closes):
    raise ValueError(
      f'expected the lines {begin!r} and {END!r} around what is written; put '
      'them where it should be'
    )
  return above, part, below
