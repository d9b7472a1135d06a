"""Hosts of a slice: an sshd each, on an address of loopback of its own.

Each has a home of its own, by which its processes are found and ended when the
host is lost: they have HOME in their environment.
"""

import contextlib
import getpass
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

SSHD = '/usr/sbin/sshd'
_SFTP = '/usr/lib/openssh/sftp-server'
_CONFIG = """
Port {port}
ListenAddress {address}
HostKey {folder}/host_key
PidFile {home}/.sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
LogLevel ERROR
SetEnv HOME={home}
Subsystem sftp {folder}/sftp
"""
_SECONDS = 30.0


class Hosts:
  """Those of one stand-in.

  Attributes:
    port: of all their sshds.
    homes: by address, of the hosts that are up.
  """

  def __init__(self, folder: pathlib.Path, public_key: str):
    self._folder = folder
    folder.mkdir(parents=True)
    _key(folder / 'host_key')
    (folder / 'authorized_keys').write_text(public_key)
    # Files are copied to the home of the host, not to that of the user.
    sftp = folder / 'sftp'
    sftp.write_text(f'#!/bin/sh\ncd "$HOME" && exec {_SFTP}\n')
    sftp.chmod(0o755)
    # A part of 127.0.0.0/8 of its own: two drills may run beside each other.
    self._net = f'127.{1 + os.getpid() // 250 % 250}.{os.getpid() % 250}'
    self._count = 0
    self.port = _free_port(f'{self._net}.1')
    self.homes: dict[str, pathlib.Path] = {}
    self._nodes: dict[str, list[str]] = {}

  def start(self, node: str, count: int) -> list[str]:
    """Starts so many hosts of a node; their addresses.

    Raises:
      RuntimeError: an sshd does not answer.
    """
    addresses = []
    for _ in range(count):
      self._count += 1
      address = f'{self._net}.{self._count}'
      home = self._folder / f'home-{address}'
      home.mkdir()
      config = home / '.sshd_config'
      config.write_text(
        _CONFIG.format(
          port=self.port, address=address, folder=self._folder, home=home
        )
      )
      if os.getuid() == 0:
        pathlib.Path('/run/sshd').mkdir(exist_ok=True)
      subprocess.run([SSHD, '-f', config, '-E', home / '.sshd.log'], check=True)
      self.homes[address] = home
      addresses.append(address)
    for address in addresses:
      self._wait(address)
    self._nodes[node] = addresses
    return addresses

  def lose_node(self, node: str) -> None:
    """All hosts of a node are gone, with what ran there."""
    for address in self._nodes.pop(node, []):
      self.lose(address)

  def lose(self, address: str) -> None:
    """A host is gone: nothing answers at its address any more."""
    home = self.homes.pop(address, None)
    if home is None:
      return
    pid = home / '.sshd.pid'
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      os.kill(int(pid.read_text()), signal.SIGKILL)
    for each in processes(home):
      with contextlib.suppress(ProcessLookupError):
        os.kill(each, signal.SIGKILL)

  def close(self) -> None:
    """All are gone."""
    for address in list(self.homes):
      self.lose(address)

  def _wait(self, address: str) -> None:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
      with socket.socket() as probe:
        if probe.connect_ex((address, self.port)) == 0:
          return
      time.sleep(0.05)
    log = (self._folder / f'home-{address}' / '.sshd.log').read_text()
    raise RuntimeError(f'sshd on {address}:{self.port} does not answer: {log}')


def processes(home: pathlib.Path) -> list[int]:
  """Of a host: those whose HOME is its home."""
  found = []
  for each in pathlib.Path('/proc').glob('[0-9]*'):
    with contextlib.suppress(OSError):
      words = (each / 'environ').read_bytes().split(b'\0')
      if b'HOME=' + os.fsencode(home) in words:
        found.append(int(each.name))
  return found


def missing() -> str:
  """Why there can be no hosts on this machine; '' if there can."""
  if not os.path.exists(SSHD):
    return f'{SSHD} is not there: install openssh-server'
  if not os.path.exists(_SFTP):
    return f'{_SFTP} is not there: install openssh-sftp-server'
  return '' if shutil.which('ssh') else 'ssh is not there'


def make_key(path: pathlib.Path) -> str:
  """A pair of keys as gcloud makes it; the public one."""
  path.parent.mkdir(parents=True, exist_ok=True)
  _key(path)
  return pathlib.Path(f'{path}.pub').read_text().strip()


def _key(path: pathlib.Path) -> None:
  subprocess.run(
    [
      *('ssh-keygen', '-q', '-t', 'rsa', '-b', '2048', '-N', ''),
      *('-C', getpass.getuser(), '-f', path),
    ],
    check=True,
  )


def _free_port(address: str) -> int:
  with socket.socket() as free:
    free.bind((address, 0))
    return free.getsockname()[1]
