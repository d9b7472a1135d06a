"""This process joins the others of a run, and sets up JAX."""

import os
import signal
import socket

import jax

# There is no public way to the service by which processes know of one another.
from jax._src.distributed import global_state

from base import command, console
from base.console import duration
from train import malloc
from train.processes import cluster, meetings
from train.processes.cluster import detected


def up(compilation_cache: str) -> None:
  """Sets up JAX and the heap, for a process that is alone.

  Args:
    compilation_cache: folder of compiled programs; empty: none.

  Raises:
    ValueError: a scheduler started several processes.
  """
  _set_up(compilation_cache)
  found = detected()
  if found:
    raise ValueError(
      f'this command is one process, but {found} tells of several: start it '
      'outside of them, on one machine'
    )
  cluster.check_company(found)
  _after_backend()


def join(
  compilation_cache: str, *, start_sec: int, silent_sec: int, meet_sec: int
) -> None:
  """Sets up JAX and the heap; joins the other processes, if there are any.

  JAX's own detection decides whether there are: Slurm, Open MPI, Kubernetes,
  the hosts of a cloud TPU. JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and
  JAX_PROCESS_ID say so where it finds none, as in `launch.local`.

  Args:
    compilation_cache: folder of compiled programs; empty: none.
    start_sec: seconds within which all processes must have come.
    silent_sec: after which one that gives no sign of life is taken for dead.
    meet_sec: within which all must have come to where they wait for one
      another: longer than the longest compilation.

  Raises:
    ValueError: a scheduler started several processes, and this one is alone;
      or a number of seconds cannot be.
  """
  for name, value in (
    *(('start_sec', start_sec), ('silent_sec', silent_sec)),
    ('meet_sec', meet_sec),
  ):
    if value < 1:
      raise ValueError(
        f'config.processes.{name}={value} must be at least 1 second'
      )
  meetings.within(meet_sec)
  _set_up(compilation_cache)
  found = detected()
  if found and not jax.distributed.is_initialized():
    count = cluster.number('JAX_NUM_PROCESSES')
    several = f'{count} processes' if count else 'several processes'
    # By this line, and that below, launchers know who has come; see launch/job.
    console.say(f'{socket.gethostname()} joins the others of {several}')
    with meetings.waiting(
      lambda waited: (
        f'{socket.gethostname()} waits since {duration(waited)} for the '
        f'others of {several}, told of by {found}: start the same command on '
        f'every host, as launch.* do; it gives up after {duration(start_sec)}'
      )
    ):
      # Until the steps begin, a stop ends this process at once: JAX would only
      # note it. See `watch_for_notices`.
      jax.config.update('jax_enable_preemption_service', False)
      jax.distributed.initialize(
        num_processes=count,
        process_id=cluster.number('JAX_PROCESS_ID'),
        local_device_ids=cluster.gpus_of_task() if found == 'slurm' else None,
        initialization_timeout=start_sec,
        heartbeat_timeout_seconds=silent_sec,
        # A process that has failed ends on the spot; so those that wait here
        # wait for a last save.
        shutdown_timeout_seconds=meet_sec,
      )
  cluster.check_company(found)
  if jax.process_count() > 1:
    command.leave_at_once()
    meetings.sign()
    # Each says where it is, before only the first one speaks.
    here = jax.local_devices()
    console.say(
      f'process {jax.process_index()} of {jax.process_count()} on '
      f'{socket.gethostname()}: {len(here)} x {here[0].device_kind}, joined by '
      f'{found}'
    )
    if jax.process_index():
      console.mute()
  _after_backend()


def _set_up(compilation_cache: str) -> None:
  if compilation_cache:
    folder = os.path.expanduser(compilation_cache)
    jax.config.update('jax_compilation_cache_dir', folder)
    # By default what took less than a second is compiled anew at each start.
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  # Before the backend starts: its threads would take heaps of their own.
  malloc.keep()


def _after_backend() -> None:
  if jax.default_backend() != 'cpu':
    malloc.give_back()


def watch_for_notices() -> None:
  """From here on SIGTERM to any process is a notice to all, by JAX's service.

  They then agree on the step after which they stop, see
  `jax.experimental.multihost_utils.reached_preemption_sync_point`.
  """
  jax.config.update('jax_enable_preemption_service', True)
  if global_state.preemption_sync_manager is None:
    global_state.initialize_preemption_sync_manager()


def notice() -> None:
  """Tells JAX's service that this process is to stop; it hears SIGTERM."""
  os.kill(os.getpid(), signal.SIGTERM)


def part() -> None:
  """Ends the company: no process aborts because another one has left."""
  if jax.process_count() > 1:
    jax.distributed.shutdown()
