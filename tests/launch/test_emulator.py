"""An object store that a person starts: what it says, and how it ends."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from base import exits
from launch import emulator
from tests import commands

NAMES = [*emulator.variables(1)]


def test_help_and_docs_name_what_a_shell_must_export():
  done = commands.run('launch.emulator', '--help')
  assert done.returncode == 0
  docs = pathlib.Path('docs/object_stores.md').read_text()
  for name, value in emulator.variables(1).items():
    assert name in done.stdout
    where = value.replace(':1', ':PORT')
    assert f'export {name}={where}' in docs


@pytest.mark.parametrize(
  ('words', 'said'),
  [
    (['x'], "PORT is 'x', expected 1024 to 65535"),
    (['80'], "PORT is '80'"),
    (['70000'], "PORT is '70000'"),
    (['9000', '9001'], 'expected at most a PORT'),
  ],
)
def test_mistakes_are_told_in_one_line(words, said):
  if emulator.missing():
    pytest.skip(f'not installed: {emulator.missing()}')
  done = commands.run('launch.emulator', *words)
  assert done.returncode == exits.WRONG
  assert said in done.stderr
  assert len(done.stderr.splitlines()) == 1


def test_a_port_that_is_in_use_is_told():
  if emulator.missing():
    pytest.skip(f'not installed: {emulator.missing()}')
  with socket.socket() as other:
    other.bind(('127.0.0.1', 0))
    other.listen()
    port = other.getsockname()[1]
    done = commands.run('launch.emulator', str(port))
  assert (done.returncode, done.stdout) == (exits.WRONG, '')
  assert f'port {port} of this machine is in use: give another' in done.stderr


def test_it_says_what_a_shell_must_run_and_serves():
  if emulator.missing():
    pytest.skip(f'not installed: {emulator.missing()}')
  command = [sys.executable, '-m', 'launch.emulator']
  with subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
  ) as server:
    lines = [server.stdout.readline() for _ in range(len(NAMES) + 1)]
    said = ''.join(lines)
    port = int(re.search(r'HOST=http://127.0.0.1:(\d+)\n', said)[1])
    given = subprocess.run(
      ['sh', '-c', f'{said}env'], capture_output=True, text=True, check=True
    ).stdout
    for name, value in emulator.variables(port).items():
      assert f'{name}={value}\n' in given
    url = f'http://127.0.0.1:{port}/storage/v1/b/{emulator.BUCKET}'
    answer = None
    while answer is None and server.poll() is None:
      with contextlib.suppress(OSError):
        answer = urllib.request.urlopen(url, timeout=10).status
    assert answer == 200
    os.kill(server.pid, signal.SIGINT)
    server.communicate()
  assert server.returncode in (0, exits.INTERRUPTED)
