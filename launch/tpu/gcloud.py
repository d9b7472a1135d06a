"""Calls of gcloud, from Google's own installation."""

import dataclasses
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence

from launch.tpu.refusals import Refused


@dataclasses.dataclass(frozen=True)
class Done:
  """A call that is over.

  Attributes:
    code: that it ended with; 124: it took too long, and was ended.
    out: what it said on stdout.
    err: on stderr.
  """

  code: int
  out: str
  err: str


def call(words: Sequence[str], seconds: float = 600.0) -> Done:
  """Runs it, apart from this terminal's Ctrl-C.

  Args:
    words: the whole command.
    seconds: after which it is ended; what it said till then counts.

  Raises:
    ValueError: it is not installed.
  """
  if not shutil.which(words[0]):
    raise ValueError(
      f'{words[0]} is not on PATH: install the Google Cloud CLI '
      '(cloud.google.com/sdk/docs/install), then run `gcloud auth login`'
    )
  with subprocess.Popen(
    words,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    errors='replace',
    start_new_session=True,
  ) as process:
    try:
      out, err = process.communicate(timeout=seconds)
    except BaseException as error:
      end(process)
      if not isinstance(error, subprocess.TimeoutExpired):
        raise
      out, err = process.communicate()
      return Done(124, out, err)
  return Done(process.returncode, out, err)


def ask(words: Sequence[str], doing: str) -> str:
  """What it says on stdout.

  Args:
    words: the whole command.
    doing: for the error.

  Raises:
    Refused: it did not do it.
  """
  done = call(words)
  if done.code:
    raise Refused(doing, done.err or f'exit code {done.code}')
  return done.out


def end(process: subprocess.Popen) -> None:
  """Ends a call with the ssh that it has started."""
  try:
    os.killpg(process.pid, signal.SIGKILL)
  except ProcessLookupError:
    return
