"""Commands as processes of their own, forked from one that has imported.

`python -m launch.plan` imports for a second or more, which a test of what it
says need not wait for. The process, its flags, output and end are as they
would be; only what a test says of imports, signals or variables of Python and
JAX themselves needs a real start.
"""

import atexit
import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping

# Whatever commands import of others, and most of them.
_IMPORTED = (
  *('cv2', 'flax.linen', 'jax.numpy', 'ml_collections.config_flags', 'optax'),
  *('orbax.checkpoint', 'data.pipeline', 'evals.resolve', 'launch.recipe'),
  __name__,
)


def run(
  *words: str, env: Mapping[str, str] | None = None, cwd: str | None = None
) -> subprocess.CompletedProcess:
  """What `python -m` of the words says, and how it ends.

  Args:
    *words: name of a module, and what follows it.
    env: all variables; None: those of this process.
    cwd: folder that it runs in; None: the present one.
  """
  started = multiprocessing.get_context('forkserver')
  started.set_forkserver_preload([*_IMPORTED])
  with tempfile.TemporaryDirectory() as folder:
    told = [os.path.join(folder, name) for name in ('out', 'err')]
    process = started.Process(
      target=_run,
      args=(words, dict(os.environ if env is None else env), cwd, told),
    )
    process.start()
    process.join()
    out, err = (pathlib.Path(path).read_text() for path in told)
  return subprocess.CompletedProcess(words, process.exitcode, out, err)


def _run(words, env, cwd, told) -> None:
  for number, path in enumerate(told, start=1):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
  os.environ.clear()
  os.environ.update(env)
  os.chdir(cwd or os.getcwd())
  sys.argv = ['python', *words[1:]]
  # As `python -m` has it, which starts with the present folder.
  sys.path[:0] = [os.getcwd()]
  try:
    runpy.run_module(words[0], run_name='__main__', alter_sys=True)
  except SystemExit:
    raise
  except BaseException:
    traceback.print_exc()
    raise SystemExit(1) from None
  finally:
    # This package does not do so for processes that it forks.
    atexit._run_exitfuncs()
