"""`launch.tpu`: two slices that are taken away, a killed process, Ctrl-C.

The gcloud is the real one, its cloud is on this machine: an API that answers on
loopback, and a host for each sshd. A run that met all that ends with the bits
of one that met nothing.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping

from launch import emulator
from launch.drill import play, tiny
from launch.drill.cloud import cloud as cloud_lib
from launch.drill.cloud import hosts as hosts_lib
from launch.drill.cloud.cloud import PROJECT, ZONE, Cloud

_NAME = 'pod'
# Enough to be in the middle of it for as long as gcloud takes to be asked.
_STEPS, _SAVE_EVERY = 600, 20
_LONG = 1800.0  # seconds, of a busy machine
_ROOT = pathlib.Path(__file__).resolve().parents[2]


def missing() -> str:
  """Why it cannot be played here; '' if it can."""
  return cloud_lib.missing() or emulator.missing()


def drill(folder: pathlib.Path) -> None:
  """Plays it.

  Raises:
    ValueError: something is not as promised.
  """
  with _store(folder) as (store, variables), Cloud(folder / 'cloud') as cloud:
    whole, cut = f'{store}/whole', f'{store}/cut'
    play.tell(f'{_STEPS} steps in four processes, undisturbed')
    _undisturbed(folder, whole, variables)
    pod = _Pod(folder, cloud, cut, variables)
    try:
      _come(pod)
      _taken_away(pod)
      _killed(pod)
      _interrupted(pod)
      play.wait('the end', pod.is_over, _LONG)
    finally:
      pod.launcher.kill()
    play.check('it is done', pod.launcher.wait() == 0, pod.said()[-2000:])
    found = pod.status()
    play.check(
      'it was followed, not started again', found['attempt'] == 3, found
    )
    gone = (found['machines'], found['outcome'], len(cloud.api.resources))
    play.check('the machines were given back', gone == ('not there', 'done', 0))
    with _environment(variables):
      found = tiny.differs(whole, cut)
    play.check(
      'losses and parameters are those of the first run', not found, found
    )


@contextlib.contextmanager
def _store(folder: pathlib.Path) -> Iterator[tuple[str, Mapping[str, str]]]:
  """A place for workdirs that all hosts see, and the variables to reach it."""
  with emulator.started(folder / 'store.log') as variables:
    yield f'gs://{emulator.BUCKET}', variables


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
  """Inside, this process has these variables too."""
  before = dict(os.environ)
  os.environ.update(variables)
  try:
    yield
  finally:
    os.environ.clear()
    os.environ.update(before)


def _undisturbed(
  folder: pathlib.Path, workdir: str, variables: Mapping[str, str]
) -> None:
  with open(folder / 'whole.log', 'w') as log:
    code = subprocess.run(
      [
        *(sys.executable, '-m', 'launch.local', '--processes=4', '--devices=1'),
        *(f'--logs={folder}/whole-logs', '--'),
        *_command(workdir),
      ],
      env={**tiny.environment(), **variables},
      cwd=_ROOT,
      stdout=log,
      stderr=log,
    ).returncode
  play.check('it is done', code == 0, code)


def _command(workdir: str) -> list[str]:
  """A run that could be on two slices of eight chips each."""
  return [
    *tiny.command(workdir, steps=_STEPS, save_every=_SAVE_EVERY),
    *('--config.mesh.replica=2', '--config.data.batch_size=16'),
  ]


class _Pod:
  """A launch of two slices of two hosts, and who follows it."""

  def __init__(
    self,
    folder: pathlib.Path,
    cloud: Cloud,
    workdir: str,
    variables: Mapping[str, str],
  ):
    self.cloud, self.workdir = cloud, workdir
    self._folder = folder / 'laptop'  # runs/launches is there
    self._folder.mkdir()
    (self._folder / 'configs').symlink_to(_ROOT / 'configs')
    self._variables = {**tiny.ENVIRONMENT, **variables}
    self._log = folder / 'launcher.log'
    self.environment = {
      **os.environ,
      **variables,
      **cloud.environment,
      'PYTHONPATH': str(_ROOT),
    }
    self.launcher = self.start()

  def start(self) -> subprocess.Popen:
    """`start`, the same each time."""
    words = [
      *('start', f'--name={_NAME}', '--type=v5p-16', '--slices=2', '--spot'),
      *(f'--zone={ZONE}', f'--project={PROJECT}', f'--python={sys.executable}'),
      *(f'--ssh_port={self.cloud.hosts.port}', '--join=addresses'),
      *('--poll_sec=1', '--grace_sec=10', '--plan=shapes'),
      *(f'--env={name}={value}' for name, value in self._variables.items()),
      *('--', *_command(self.workdir)),
    ]
    with open(self._log, 'a') as log:
      self.launcher = subprocess.Popen(
        [sys.executable, '-m', 'launch.tpu', *words],
        env=self.environment,
        cwd=self._folder,
        stdout=log,
        stderr=log,
        start_new_session=True,
        # Else it has no Ctrl-C where this drill runs in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
      )
    return self.launcher

  def said(self) -> str:
    """All that the launcher has said."""
    return self._log.read_text()

  def status(self) -> dict:
    """What `status --json` says; the service must have been so meanwhile."""
    before = self._word()
    found = json.loads(self.tell('status', '--json'))
    after = self._word()
    seen = self.cloud.api.words[before[1] - 1 :]
    play.check(
      f'status knows the machines are {found["machines"]}',
      found['machines'] in {before[0], after[0], *seen},
      (before, seen, after),
    )
    return found

  def _word(self) -> tuple[str, int]:
    words = self.cloud.api.words
    return words[-1], len(words)

  def tell(self, verb: str, *flags: str) -> str:
    """What another verb prints."""
    done = subprocess.run(
      [
        *(sys.executable, '-m', 'launch.tpu', verb, f'--name={_NAME}'),
        *flags,
      ],
      env=self.environment,
      cwd=self._folder,
      capture_output=True,
      text=True,
    )
    if done.returncode:
      raise ValueError(f'launch.tpu {verb} failed: {done.stderr[-2000:]}')
    return done.stdout

  def step(self) -> int:
    """That it has come to, by the log of host 0: metrics come later."""
    found = re.findall(r'\[0\] step +(\d+)/', self.said())
    return int(found[-1]) if found else 0

  def until_saved(self) -> None:
    """Returns when it has come so far that it goes on from a new checkpoint."""
    step = self.step() + 2 * _SAVE_EVERY
    play.wait(
      f'step {step}', lambda: self.is_over() or self.step() > step, _LONG
    )
    found = self.step()
    play.check(f'it trains: step {found}', step < found < _STEPS, self.said())

  def is_over(self) -> bool:
    """Whether nobody follows it any more."""
    return self.launcher.poll() is not None


def _come(pod: _Pod) -> None:
  play.tell('launch.tpu start: two slices of two hosts, which are not free yet')
  api = pod.cloud.api
  api.stays = 'WAITING_FOR_RESOURCES'
  waiting = 'no free chips yet, in the queue'
  play.wait('the queue', lambda: waiting in pod.said() or pod.is_over(), _LONG)
  play.check('it is followed', not pod.is_over(), pod.said())
  found = pod.status()
  play.check(
    'and that nothing runs',
    (found['attempt'], found['hosts']) == (0, {}),
    found,
  )
  api.stays = ''
  pod.until_saved()
  found = pod.status()
  jobs = [*found['hosts'].values()]
  play.check(
    'and four hosts that run attempt 1', jobs == ['running'] * 4, found
  )
  text = pod.tell('status')
  play.check('and steps, beside the forecast', 'measured' in text, text)
  log = pod.tell('logs', '--host=3')
  play.check('logs has those of host 3', 'process 3 of 4' in log, log)


def _taken_away(pod: _Pod) -> None:
  play.tell('a spot slice is taken away: its hosts are gone, SUSPENDED')
  homes = {*pod.cloud.hosts.homes}
  pod.cloud.api.suspend(_NAME, f'{_NAME}-1')
  pod.status()
  play.wait(
    'attempt 2', lambda: 'attempt 2 runs' in pod.said() or pod.is_over(), _LONG
  )
  play.check(
    'it was deleted and rented anew, other hosts run attempt 2',
    not homes & {*pod.cloud.hosts.homes} and not pod.is_over(),
    pod.said()[-2000:],
  )
  found = pod.status()
  counted = (found['attempt'], found['restarts'])
  play.check('which does not count', counted == (2, 0), found)
  pod.until_saved()


def _killed(pod: _Pod) -> None:
  play.tell('the process of host 3 is killed')
  home = [*pod.cloud.hosts.homes.values()][3]
  child = home / 'scale4d' / _NAME / 'attempts' / '2' / 'child'
  os.kill(json.loads(child.read_text())['pid'], signal.SIGKILL)
  play.wait(
    'attempt 3', lambda: 'attempt 3 runs' in pod.said() or pod.is_over(), _LONG
  )
  said = pod.said()
  play.check(
    'the cause is process 3, not who was left alone',
    'attempt 2: process 3 ended with 137 (SIGKILL)' in said,
    said[-2000:],
  )
  found = pod.status()
  counted = (found['attempt'], found['restarts'])
  play.check('which counts', counted == (3, 1), found)


def _interrupted(pod: _Pod) -> None:
  play.tell('the launcher gets Ctrl-C')
  pod.until_saved()
  pod.launcher.send_signal(signal.SIGINT)
  code = pod.launcher.wait(_LONG)
  play.check('it says so', code == 130 and 'no longer followed' in pod.said())
  processes = [
    hosts_lib.processes(home) for home in pod.cloud.hosts.homes.values()
  ]
  play.check('and the job goes on', all(processes), processes)
  play.tell('the same command once more')
  pod.start()
