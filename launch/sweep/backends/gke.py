"""Runs on a GKE cluster: a JobSet each, which the cluster starts again itself.

A stage is a JobSet of a name of its own: it goes on without the sweep, and the
next finds it by that name.
"""

from collections.abc import Sequence

from base import exits
from launch.gke import failures, state
from launch.gke.kubectl import JOBSETS, Kubectl
from launch.gke.pods import Host
from launch.sweep.backends import End, Job, commands
from launch.sweep.stages import Stage


class Gke:
  """The cluster that kubectl of this machine reaches."""

  stays = True
  poll_sec = 10.0

  def __init__(self, flags: Sequence[str], *, workdir: str, max_restarts: int):
    """Asks nobody.

    Args:
      flags: of `launch.gke start`, of all runs.
      workdir: of the sweep.
      max_restarts: crashes after which the cluster starts a job again.
    """
    self._flags, self._workdir = list(flags), workdir
    self._max_restarts = max_restarts
    given = dict(word[2:].split('=', 1) for word in flags if '=' in word)
    self._where = {
      'namespace': given.get('namespace', 'default'),
      'context': given.get('context', ''),
    }
    self._kubectl = Kubectl(**self._where)

  def words(self, stage: Stage, *, name: str) -> Sequence[str]:
    """See `Backend`."""
    return (
      *('python', '-m', 'launch.gke', 'start'),
      f'--name={self._name(stage, name)}',
      f'--max_restarts={self._max_restarts}',
      *commands.machines(stage.where, self._flags),
      *('--', *stage.words),
    )

  def _name(self, stage: Stage, name: str) -> str:
    return commands.cloud_name(self._workdir, f'{name}/{stage.name}')

  def check(self, stage: Stage, *, name: str) -> None:
    """See `Backend`: the launcher's own --dry_run."""
    # Compiled it is by the start: here it would take minutes for each run.
    words = self.words(stage, name=name)
    commands.call(*words[1:4], '--dry_run', '--plan=shapes', *words[4:])

  def start(self, stage: Stage, *, name: str, attempt: int) -> Job:
    """See `Backend`; one that is there already is taken."""
    del attempt
    commands.call(*self.words(stage, name=name)[1:])
    return {'jobset': self._name(stage, name)}

  def find(self, stage: Stage, *, name: str, job: Job, attempt: int) -> Job:
    """See `Backend`; also one that was started, and not noted any more."""
    del attempt
    called = self._name(stage, name)
    found = self._kubectl.find(JOBSETS, called)
    if not found:
      return {}
    is_over = state.look(self._kubectl, found).code >= 0
    return {'jobset': called} if job or not is_over else {}

  def poll(self, job: Job) -> End | None:
    """See `Backend`.

    Raises:
      ValueError: the cluster does not answer now.
    """
    name = job['jobset']
    found = self._kubectl.find(JOBSETS, name)
    if not found:
      # `stop` has let it save.
      return End(exits.AGAIN, f'the JobSet {name} was removed')
    now = state.look(self._kubectl, found)
    return None if now.code < 0 else End(now.code, self._said(now))

  def _said(self, now: state.State) -> str:
    """The last line of the process that decided; else what the cluster says."""
    ended = [host for host in now.hosts if host.code == now.code]
    lines = (
      self._last_line(min(ended, key=lambda host: host.ended)) if ended else ''
    )
    return lines or now.why

  def _last_line(self, host: Host) -> str:
    try:
      lines = self._kubectl.run(
        *('logs', host.pod, f'--container={failures.CONTAINER}', '--tail=1')
      )
    except ValueError:
      return ''  # it went with its machine
    return commands.last_line(lines) if lines.strip() else ''

  def stop(self, job: Job, *, now: bool = False) -> None:
    """Nothing: it goes on without a sweep, see `end`."""

  def end(self, stage: Stage, *, name: str) -> str:
    """See `Backend`."""
    where = [f'--{key}={value}' for key, value in self._where.items()]
    called = f'--name={self._name(stage, name)}'
    return commands.call('-m', 'launch.gke', 'stop', called, *where)

  def close(self) -> None:
    """Nothing is left behind here."""
