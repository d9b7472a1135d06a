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
  above, is_there, rest = text.partition(begin)
  _, closes, below = rest.partition(END)
  if not (is_there and closes):
    raise ValueError(
      f'expected the lines {begin!r} and {END!r} around what is written; put '
      'them where it should be'
    )
  return f'{above}{begin}\n{part}\n{END}{below}'
