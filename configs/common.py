"""What recipes share: reading the argument behind the colon."""

import difflib


def parse(arg: str | None, **defaults):
  """The options in `arg`, 'key=value,key=value', over `defaults`.

  Each value is cast to the type of its default; a boolean is 'true' or
  'false'.

  Raises:
    ValueError: an unknown key (the nearest known one is named), no '=', or a
      value that is not of its default's type.
  """
  options = dict(defaults)
  for item in (arg or '').split(','):
    if not item:
      continue
    key, equals, value = item.partition('=')
    if not equals:
      raise ValueError(
        f'config argument {item!r} has no value: write {item}=VALUE'
      )
    if key not in defaults:
      near = difflib.get_close_matches(key, defaults, n=1, cutoff=0)
      hint = f'; did you mean {near[0]!r}?' if near else ''
      raise ValueError(
        f'unknown config argument {key!r}: this recipe takes '
        f'{", ".join(defaults) or "none"}{hint}'
      )
    options[key] = _cast(key, value, type(defaults[key]))
  return options


def _cast(key, value, kind):
  if kind is bool:
    if value not in ('true', 'false'):
      raise ValueError(f"{key}={value!r} must be 'true' or 'false'")
    return value == 'true'
  try:
    return kind(value)
  except ValueError:
    raise ValueError(
      f'{key}={value!r} must be of type {kind.__name__}'
    ) from None
