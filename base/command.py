"""What all commands share: flags, and how wrong input ends.

Imports nothing heavy, so that `--help` and a wrong flag are quick.
"""

import errno
import itertools
import linecache
import math
import pathlib
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from absl import app, flags, logging

from base import exits, stops

# `--help` of a command shows the flags that it has from here as its own.
flags.disclaim_key_flags()

_ROOT = pathlib.Path(__file__).parent.parent
_DEBUG = flags.DEFINE_bool(
  'debug', False, 'Show where an error was raised, not only what it says.'
)
flags.declare_key_flag('debug')

# Of the system about a file, and what a person can mend. All others (EIO, a
# server that is gone) may have passed when the command is started again.
_MENDABLE = (
  *(errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY),
  *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP),
  *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EINVAL),
)
# Behind a line on what is wrong.
_HELP_HINT = '  (--help lists the flags)'
_DEBUG_HINT = '  (--debug shows where)'

_at_once = False


def compilation_cache() -> flags.FlagHolder[str]:
  """Defines the flag that `train.processes.up` is given."""
  return flags.DEFINE_string(
    'compilation_cache',
    '~/.cache/scale4d/xla',
    "Folder of compiled programs, shared by runs; '' for none.",
  )


def run(
  main: Callable[..., None],
  *,
  required: Sequence[str] = (),
  words: str = '',
  least: int = 1,
  most: int | None = None,
  starts: str = '',
  goes_on: bool = False,
) -> None:
  """Calls `main`, which does its heavy imports itself, if flags are right.

  What a person can mend ends in one line on stderr: an error that our own code
  raises on purpose, or one of the system about a file. All else is a fault of
  the program, and shows its traceback. The exit code (`base/exits.py`) says to
  who started it whether to start it again.

  Args:
    main: what the command does; it is given the words, if there may be any.
    required: names of the flags that must be given.
    words: what stands behind the command beside flags; '': nothing.
    least: number of words.
    most: number of words, if not any.
    starts: word behind which a command as `python -m train` is given, after
      `--`: without it that one's flags would be taken for ours.
    goes_on: whether the same command goes on after a stop: where there is
      nothing to save yet, one ends it at once, and with AGAIN.
  """
  if goes_on:
    stops.hear()
  if {starts, '-m'} <= {*sys.argv} and '--' not in sys.argv:
    sys.exit(
      f'put -- before the command: {starts} --name=... -- python -m train ...'
    )

  def checked(argv: list[str]) -> None:
    found = argv[1:]
    if not words and found:
      _wrong(f'unexpected arguments {found}')
    if words and not (least <= len(found) <= (most or len(found))):
      _wrong(f'expected {words}, got {found or "nothing"}')
    # An empty one is a variable of a shell that is not set.
    missing = [f'--{n}' for n in required if flags.FLAGS[n].value in (None, '')]
    if missing:
      _wrong(f'{", ".join(missing)} must be given')
    _check_numbers()
    if not flags.FLAGS['verbosity'].present:
      logging.set_verbosity(logging.WARNING)  # Orbax tells a lot
    _in_one_line(main, *([found] if words else []))

  try:
    app.run(checked, flags_parser=_parsed)
  except SystemExit as end:
    _leave(end.code)
  # The outermost frame of a process: its code must tell a fault from wrong
  # input, for which Python has one code.
  except Exception:
    traceback.print_exc()
    _leave(exits.FAULT)


def leave_at_once() -> None:
  """From here on, an exit code other than 0 ends this process on the spot.

  For one of several processes of JAX: at a normal end it would wait for the
  others, which go on, and then be aborted with 134 in place of its code. And
  where a thread or a worker cannot be ended.
  """
  global _at_once
  _at_once = True


def _leave(code: str | int | None) -> NoReturn:
  """Ends the process with a code of `base.exits`, or with a line and WRONG."""
  if isinstance(code, str):
    print(code, file=sys.stderr)
    code = exits.WRONG
  # absl ends with 1 after its help, while it parses; behind -- are words of
  # another command.
  asked = {'--help', '-help', '--helpfull', '-helpfull', '--helpshort'}
  ours = itertools.takewhile(lambda word: word != '--', sys.argv[1:])
  if not flags.FLAGS.is_parsed() and asked.intersection(ours):
    code = exits.DONE
  if code and _at_once:
    sys.stdout.flush()
    sys.stderr.flush()
    stops.end(code)
  sys.exit(code)


def without_hint(line: str) -> str:
  """A last line of `run`, for who does not type that command himself."""
  return line.removesuffix(_DEBUG_HINT).removesuffix(_HELP_HINT)


def _wrong(what: str) -> NoReturn:
  sys.exit(f'{what}{_HELP_HINT}')


def _check_numbers() -> None:
  """Ends where a flag, beside those of a recipe, is no finite number."""
  for name, value in flags.FLAGS.flag_values_dict().items():
    is_ours = isinstance(value, float) and not name.startswith('config.')
    if is_ours and not math.isfinite(value):
      _wrong(f'flag --{name}={value}: expected a finite number')


def _parsed(argv: Sequence[str]) -> list[str]:
  """What `argv` has beside flags, which are set; a wrong one is the last line.

  A recipe is read here, and may refuse its argument.
  """
  try:
    return flags.FLAGS(list(argv))
  except (flags.Error, AttributeError, KeyError) as error:
    said, hint = refusal(error)
    if not said or _is_debugged():
      raise
    sys.exit(f'{said}{hint}')


def refusal(error: Exception) -> tuple[str, str]:
  """What to tell a person of flags that were refused, and where to look.

  A recipe is read where its flag is parsed. Its error lies within one of
  ml_collections, which has its traceback as text, and one of absl.

  Args:
    error: that parsing raised. Of a mistake in the recipe there is nothing to
      tell, but its traceback.
  """
  if isinstance(error, flags.Error):
    behind = next(filter(_is_meant, _chain(error)), None)
    return (
      (_said(behind), _DEBUG_HINT) if behind else (_said(error), _HELP_HINT)
    )
  # An override of what the recipe does not have; or a mistake in the recipe.
  frames = traceback.extract_tb(error.__traceback__)
  if 'get_config' in [frame.name for frame in frames]:
    return '', ''
  if 'get_config' in str(error):
    return '--config is no recipe: its file has no get_config()', _HELP_HINT
  # What ml_collections says, with the nearest name, it says as a key.
  says = error.args[0]
  says = says.args[0] if isinstance(says, KeyError) else says
  says = ' '.join(str(says).split())
  says = re.sub(r'\s*Did you mean "(.*?)" .*', r": did you mean '\1'?", says)
  return f'the recipe has no {says}', ''


def _in_one_line(function: Callable, *arguments):
  """Calls it; an error that a person can mend becomes the last line."""
  try:
    return function(*arguments)
  except app.UsageError as error:
    _wrong(str(error))
  except exits.Again as end:
    print(end, flush=True)
    sys.exit(exits.AGAIN)
  except stops.Stopped as end:
    print(end, flush=True)
    sys.exit(end.code)
  except KeyboardInterrupt:
    print('stopped by Ctrl-C', file=sys.stderr)
    sys.exit(exits.INTERRUPTED)
  except exits.Unavailable as error:
    print(f'{_said(error)}{_DEBUG_HINT}', file=sys.stderr)
    sys.exit(exits.FAULT)
  except (ValueError, ArithmeticError, RuntimeError, OSError) as error:
    if not (isinstance(error, OSError) or _is_meant(error)):
      raise
    if _is_debugged():
      traceback.print_exc()
    else:
      print(f'{_said(error)}{_DEBUG_HINT}', file=sys.stderr)
    sys.exit(exits.FAULT if _may_pass(error) else exits.WRONG)


def _may_pass(error: Exception) -> bool:
  """Whether the same command may go well when it is started again."""
  if isinstance(error, TimeoutError | ConnectionError):
    return True
  number = error.errno if isinstance(error, OSError) else None
  return number is not None and number not in _MENDABLE


def _chain(error: BaseException | None) -> Iterator[BaseException]:
  """An error and those behind it, as a traceback would show them."""
  while error:
    yield error
    hidden = None if error.__suppress_context__ else error.__context__
    error = error.__cause__ or hidden


def _is_debugged() -> bool:
  # Before flags are parsed their parsing may fail.
  return '--debug' in sys.argv or (flags.FLAGS.is_parsed() and _DEBUG.value)


def _is_meant(error: BaseException) -> bool:
  """Whether a `raise` of our code made it, not a library or a mistake.

  The line decides, not the file alone: JAX takes its own frames out of
  tracebacks, which then end where it was called.
  """
  trace = error.__traceback__
  while trace and trace.tb_next:
    trace = trace.tb_next
  if trace is None:
    return False
  # That of a recipe is as it was given: relative, or not.
  file = pathlib.Path(trace.tb_frame.f_code.co_filename).absolute()
  if not file.is_relative_to(_ROOT) or '.venv' in file.parts:
    return False
  line = linecache.getline(str(file), trace.tb_lineno).lstrip()
  return line.startswith('raise')


def _said(error: Exception) -> str:
  """Its message on one line."""
  # A recipe that cannot be read, ml_collections keeps as the text of another.
  unread = re.search(
    r"Failed loading config.*\[Errno \d+\] (.*): '(.*)'", f'{error}', re.S
  )
  if unread:
    return f'--config={unread[2]}: {unread[1]}'
  if isinstance(error, OSError) and error.strerror:
    from base import files  # takes a tenth of a second

    if error.errno in files.FULL:
      error = files.full(error.filename or 'this run')
    # Without the number, which says nothing to a person.
    where = f'{error.filename}: ' if error.filename else ''
    return f'{where}{error.strerror}'
  return ' '.join(str(error).split())
