"""All hosts of a launch, asked at once."""

import concurrent.futures
import dataclasses
import json
import pathlib
import shlex
import tempfile
from collections.abc import Mapping, Sequence

from launch.tpu import gcloud
from launch.tpu.code import Pack
from launch.tpu.machine import Host, Machines

MARK = '@scale4d '  # of an answer, see launch/tpu/host
_SINGLY = 32  # hosts that are asked one by one at most
_AT_ONCE = 4
# What tells most of a failure is looked for first.
_SIGNS = (
  *('ssh: ', 'Permission denied', 'This TPU has', 'tar: ', 'python3: '),
  *('sh: ', 'ERROR: '),
)


@dataclasses.dataclass(frozen=True)
class Reply:
  """How a host stands.

  Attributes:
    prepared: 'yes', 'now', 'no', or 'failed: ' and why.
    unit: 'none', 'running', 'ended' or 'killed', of the attempt asked for.
    exit: code that the job ended with there.
    time: when, by the host's clock; 0: nobody told.
    joins: 'no', 'waits' for the others, or 'yes': all have.
    last: line of its log.
  """

  prepared: str
  unit: str
  exit: int
  time: float
  joins: str
  last: str

  @property
  def is_over(self) -> bool:
    """Whether the job was there, and is not any more."""
    return self.unit in ('ended', 'killed')


class Fleet:
  """The hosts of ready machines.

  Attributes:
    hosts: all of them, by process.
    silence: by process, why a host did not answer the last time it was asked.
  """

  def __init__(
    self, machines: Machines, hosts: Sequence[Host], name: str, code: str
  ):
    """Of a launch of that name, whose checkout there is called `code`."""
    self._machines, self._name, self._code = machines, name, code
    self.hosts = {host.process: host for host in hosts}
    self.silence: dict[int, str] = {}

  def copy(self, pack: Pack, processes: Sequence[int]) -> None:
    """Brings the packed checkout to some hosts.

    By what they answer next it is known where it arrived.
    """
    file = f'{self._name}-{pack.name}.tar.gz'
    hosts = [self.hosts[n] for n in processes]
    if len(hosts) == len(self.hosts) or len(hosts) > _SINGLY:
      hosts = [None]  # all at once
    with (
      tempfile.TemporaryDirectory() as folder,
      concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
      path = pathlib.Path(folder, file)
      path.touch(0o600)  # it may hold secrets
      path.write_bytes(pack.data)
      words = [self._machines.copy_words(path, file, host) for host in hosts]
      list(pool.map(lambda each: gcloud.call(each, 900.0), words))

  def unpack_command(self) -> str:
    """That makes a checkout of what was copied; it may run twice at once."""
    file = f'{self._name}-{self._code}.tar.gz'
    draft = f'.{self._code}-$$'
    return (
      f'cd "$HOME" && umask 077 && mkdir -p scale4d/{self._name} && '
      f'cd scale4d/{self._name} && if [ ! -d {self._code} ]; then '
      f'mkdir {draft} && tar -xzf "$HOME"/{file} -C {draft} && '
      f'{{ mv -T {draft} {self._code} || [ -d {self._code} ]; }} && '
      f'rm -f "$HOME"/{file}; fi && {self.command("prepare")}'
    )

  def command(self, verb: str, *flags: str) -> str:
    """That runs a verb of launch/tpu/host in the checkout on a host."""
    return (
      f'cd "$HOME"/scale4d/{self._name}/{self._code} && '
      f'exec python3 -m launch.tpu.host {shlex.join([verb, *flags])}'
    )

  def ask(self, verb: str, attempt: int = 0, *flags: str) -> dict[int, Reply]:
    """Runs a verb on all; the answers of those that gave one, by process.

    Args:
      verb: of launch/tpu/host.
      attempt: that it is about.
      *flags: further ones.
    """
    return self.tell(self.command(verb, f'--attempt={attempt}', *flags))

  def tell(self, command: str, seconds: float = 120.0) -> dict[int, Reply]:
    """Runs a command of `command` on all; the answers, by process.

    gcloud runs it on 64 hosts after another, and stops where one of them fails:
    those that did not answer are asked once more, one by one.
    """
    replies = self._run(command, None, seconds)
    missing = [host for n, host in self.hosts.items() if n not in replies]
    if replies and len(missing) <= _SINGLY:
      with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        again = pool.map(lambda host: self._run(command, host, 60.0), missing)
        for each in again:
          replies |= each
    for process in replies:
      self.silence.pop(process, None)
    return replies

  def _run(
    self, command: str, host: Host | None, seconds: float
  ) -> dict[int, Reply]:
    # A group of 64 is the last where a host of it ends with an error.
    safe = f'{{ ( {command} ) || true; }}'
    done = gcloud.call(self._machines.run_words(safe, host), seconds)
    replies = {}
    by_address = {each.address: each for each in self.hosts.values()}
    for line in done.out.splitlines():
      if not line.startswith(MARK):
        continue
      found = _read(line.removeprefix(MARK))
      if found and found['address'] in by_address:
        names = [field.name for field in dataclasses.fields(Reply)]
        replies[by_address[found['address']].process] = Reply(
          **{name: found[name] for name in names}
        )
    asked = self.hosts.values() if host is None else [host]
    for each in asked:
      if each.process not in replies:
        self.silence[each.process] = _why(done)
    return replies

  def missing(self, replies: Mapping[int, Reply]) -> str:
    """Those that gave no answer, each with why; '' if all did."""
    return '; '.join(
      f'{host} did not answer ({self.silence.get(process, "why is not known")})'
      for process, host in self.hosts.items()
      if process not in replies
    )


def _read(text: str) -> dict | None:
  """Of a line; None if another host's was written into it."""
  try:
    return json.loads(text)
  except ValueError:
    return None


def _why(done: gcloud.Done) -> str:
  """Why a host gave no answer, out of what was said of all."""
  lines = [line.strip() for line in done.err.splitlines()]
  for sign in _SIGNS:
    found = [line for line in lines if sign in line]
    if found:
      return found[-1][:200]
  return 'in time' if done.code == 124 else f'gcloud ended with {done.code}'
