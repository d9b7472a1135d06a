"""A part of a document that a command writes: the lines between two markers."""


def put(text: str, part: str, begin: str) -> str:
  """The document with another part between its markers.

  Args:
    text: of the document.
    part: what the command writes.
    begin: the line above it; that below it is '<!-- to here -->'.

  Raises:
    ValueError: the markers are not in it, once and in order.
  """
  end = '<!-- to here -->'
  above, is_there, rest = text.partition(begin)
  _, closes, below = rest.partition(end)
  if not (is_there and closes):
    raise ValueError(
      f'expected the lines {begin!r} and {end!r} around what is written; put '
      'them where it should be'
    )
  return f'{above}{begin}\n{part}\n{end}{below}'
