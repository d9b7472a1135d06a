"""An object store on this machine, for tests, drills and benches.

  python -m launch.emulator [PORT]            a free port, if none is given

Serves one bucket, gs://bucket, from memory, on 127.0.0.1 alone, until it is
stopped (Ctrl-C). First it prints the lines that each shell must run whose
commands are to use it, of these variables:

  STORAGE_EMULATOR_HOST, TENSORSTORE_GCS_HTTP_URL   http://127.0.0.1:PORT
  GOOGLE_AUTH_TOKEN_FOR_TESTING, GOOGLE_CLOUD_PROJECT   any text
  NO_GCE_CHECK=true                       or Google's machines are asked first
  GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false   or Google is, for each file

Google's, as the package gcp-storage-emulator has it, with what Orbax and
`base/claim.py` need and it lacks: an object's generation where it is read, and
writing on condition of it.
"""

import contextlib
import errno
import importlib.util
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

from base import command

BUCKET = 'bucket'
_START_S = 120  # on a busy machine; it takes one second
_PACKAGES = {
  'gcp_storage_emulator': 'dev',
  'gcsfs': 'gcs',
}


def missing() -> str:
  """What to install before `started`; '' if nothing."""
  groups = [
    f'{package}: pip install --group {group}'
    for package, group in _PACKAGES.items()
    if importlib.util.find_spec(package) is None
  ]
  return ', '.join(groups)


@contextlib.contextmanager
def started(log: pathlib.Path) -> Iterator[dict[str, str]]:
  """Inside: the variables that lead every library here to a new, empty store.

  It is in memory, and has one bucket, `BUCKET`.

  Args:
    log: file of what it says.

  Raises:
    RuntimeError: it does not start.
  """
  port = _free()
  address = f'http://127.0.0.1:{port}'
  root = pathlib.Path(__file__).parents[1]
  with (
    log.open('w') as file,
    subprocess.Popen(
      [sys.executable, '-m', 'launch.emulator', str(port)],
      **{'stdout': file, 'stderr': file, 'cwd': root},
    ) as server,
  ):
    try:
      _wait(f'{address}/storage/v1/b/{BUCKET}', server, log)
      yield variables(port)
    finally:
      server.kill()


def variables(port: int) -> dict[str, str]:
  """What leads every library here to the store of this port."""
  address = f'http://127.0.0.1:{port}'
  return {
    'STORAGE_EMULATOR_HOST': address,
    'TENSORSTORE_GCS_HTTP_URL': address,
    'GOOGLE_AUTH_TOKEN_FOR_TESTING': 'x',
    'GOOGLE_CLOUD_PROJECT': 'test',
    'NO_GCE_CHECK': 'true',
    # Else each file is asked of Google what kind of bucket it is in.
    'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',
  }


def _free() -> int:
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    return free.getsockname()[1]


def _wait(url: str, server: subprocess.Popen, log: pathlib.Path) -> None:
  deadline = time.monotonic() + _START_S
  while server.poll() is None and time.monotonic() < deadline:
    with (
      contextlib.suppress(OSError),
      urllib.request.urlopen(url, timeout=10),
    ):
      return
    time.sleep(0.1)
  raise RuntimeError(f'the emulator does not start: {log.read_text()[-500:]}')


class _Unmet(Exception):
  """The object is not of the generation that the request is about."""


class _Unchanged(Exception):
  """It is of the one that the request has already."""


def main(words: list[str]) -> None:
  """Says what a shell must run, and serves until it is stopped."""
  if missing():
    raise ValueError(f'the emulator needs {missing()}')
  given = words[0] if words else str(_free())
  # Of the system are those up to 1023.
  if not (given.isdecimal() and 1024 <= int(given) < 2**16):
    raise ValueError(f'PORT is {given!r}, expected 1024 to 65535')
  port = int(given)
  with socket.socket() as taken:
    # As the server does, who need not wait for what is left of another.
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      taken.bind(('127.0.0.1', port))
    except OSError as error:
      if error.errno != errno.EADDRINUSE:
        raise
      raise ValueError(
        f'port {port} of this machine is in use: give another, or none'
      ) from error
  for name, value in variables(port).items():
    print(f'export {name}={value}')
  print(f'# gs://{BUCKET} is empty, and there until Ctrl-C', flush=True)
  _serve(port)


def _serve(port: int) -> None:
  """Serves until it is killed; one request after another."""
  from gcp_storage_emulator import server, storage
  from gcp_storage_emulator.exceptions import NotFound

  asked: dict[str, list[str]] = {}  # of the request that is answered
  create = storage.Storage.create_file

  def generation(store, bucket, name):
    try:
      return store.get_file_obj(bucket, name)['generation']
    except NotFound:
      return '0'

  def check(store, bucket, name):
    now = generation(store, bucket, name)
    if asked.get('ifGenerationMatch', [now]) != [now]:
      raise _Unmet
    if asked.get('ifGenerationNotMatch') == [now] != ['0']:
      raise _Unchanged

  def create_on_condition(self, bucket, name, *args, **kwargs):
    check(self, bucket, name)
    return create(self, bucket, name, *args, **kwargs)

  def conditional(handler):
    def handle(request, response, store, *args, **kwargs):
      asked.clear()
      asked.update(request.query)
      of = request.params or {}
      try:
        if 'object_id' in of:
          check(store, of['bucket_name'], of['object_id'])
          now = generation(store, of['bucket_name'], of['object_id'])
          if now != '0':
            response['x-goog-generation'] = now
        handler(request, response, store, *args, **kwargs)
      except _Unmet:
        response.status = server.HTTPStatus.PRECONDITION_FAILED
      except _Unchanged:
        response.status = server.HTTPStatus.NOT_MODIFIED

    return handle

  storage.Storage.create_file = create_on_condition
  for _, handlers in server.HANDLERS:
    for method, handler in handlers.items():
      handlers[method] = conditional(handler)
  server.create_server('127.0.0.1', port, True, BUCKET).run()


if __name__ == '__main__':
  command.run(main, words='at most a PORT', least=0, most=1)
