"""What the commands that run programs share: a flag, and what comes first.

Imports nothing heavy, so that `--help` and a wrong flag are quick.
"""

from collections.abc import Callable, Sequence

from absl import app, flags, logging

# `--help` of a command shows the flags that it has from here as its own.
flags.disclaim_key_flags()


def compilation_cache() -> flags.FlagHolder[str]:
  """Defines the flag that `start.up` is given."""
  return flags.DEFINE_string(
    'compilation_cache',
    '~/.cache/scale4d/xla',
    "Folder of compiled programs, shared by runs; '' for none.",
  )


def run(main: Callable[[], None], *, required: Sequence[str]) -> None:
  """Calls `main`, which does its heavy imports itself, if flags are right.

  Args:
    main: what the command does.
    required: names of the flags that must be given.
  """

  def checked(argv: list[str]) -> None:
    if len(argv) > 1:
      raise app.UsageError(f'unexpected arguments {argv[1:]}')
    if not flags.FLAGS['verbosity'].present:
      logging.set_verbosity(logging.WARNING)  # Orbax tells a lot
    main()

  flags.mark_flags_as_required(required)
  app.run(checked)
