"""Before a run: this process joins the others of a pod, and sets up JAX."""

import contextlib
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator

import jax

# Which schedulers JAX knows, it does not say in public; asking each of its
# classes is what `jax.distributed.initialize` does first. Nor is there a public
# way to the service by which processes know of one another.
from jax._src.clusters import ClusterEnv
from jax._src.distributed import global_state

from base import command, console
from base.console import duration
from train import malloc

# What says how many processes a scheduler started, where JAX does not join
# them by itself: a batch script without srun, an Open MPI that no longer sets
# what JAX looks for, MPICH, a TPU's hosts seen from a machine without one.
_STARTED = (
  *('JAX_NUM_PROCESSES', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE'),
  *('PMI_SIZE', 'TPU_WORKER_HOSTNAMES'),
)
# Seconds between two lines on what is waited for: the first within the minute
# in which a person looks.
_BETWEEN_LINES = 30.0


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
  _check_company(found)
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
  global _meet_sec
  for name, value in (
    *(('start_sec', start_sec), ('silent_sec', silent_sec)),
    ('meet_sec', meet_sec),
  ):
    if value < 1:
      raise ValueError(
        f'config.processes.{name}={value} must be at least 1 second'
      )
  _meet_sec = meet_sec
  _set_up(compilation_cache)
  found = detected()
  if found and not jax.distributed.is_initialized():
    count = _number('JAX_NUM_PROCESSES')
    several = f'{count} processes' if count else 'several processes'
    # By this line, and that below, launchers know who has come; see launch/job.
    console.say(f'{socket.gethostname()} joins the others of {several}')
    with _waiting(
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
        process_id=_number('JAX_PROCESS_ID'),
        local_device_ids=_gpus_of_task() if found == 'slurm' else None,
        initialization_timeout=start_sec,
        heartbeat_timeout_seconds=silent_sec,
        # A process that has failed ends on the spot; so those that wait here
        # wait for a last save.
        shutdown_timeout_seconds=meet_sec,
      )
  _check_company(found)
  if jax.process_count() > 1:
    command.leave_at_once()
    global_state.client.key_value_set(
      f'{_HOSTS}{jax.process_index()}', socket.gethostname()
    )
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
  # Before the backend starts: its threads would take heaps of their own.
  malloc.keep()


def _after_backend() -> None:
  if jax.default_backend() != 'cpu':
    malloc.give_back()


# Keys of JAX's service: the host of each process, who has come where, and what
# they agree on.
_HOSTS = 'scale4d/hosts/'
_MEETINGS = 'scale4d/meetings/'
_WORDS = 'scale4d/words/'
_PLACES = 'scale4d/places/'
_meet_sec = 0
_met: dict[str, int] = {}


def meet(what: str) -> None:
  """Returns when all processes are here; nothing where there is one.

  Without it a host that is late, or dead, is noticed only by an operation on
  devices, which names nobody.

  Args:
    what: they are about to do, such as 'restore'; for people.

  Raises:
    TimeoutError: some have not come within `meet_sec`; it names them.
  """
  if jax.process_count() == 1:
    return
  _met[what] = _met.get(what, 0) + 1
  name = f'{what} {_met[what]}'
  client = global_state.client
  client.key_value_set(f'{_MEETINGS}{name}/{jax.process_index()}', '')
  with _waiting(
    lambda waited: (
      f'process {jax.process_index()} waits since {duration(waited)} before '
      f'the {what} for {_missing(name)}'
    )
  ):
    try:
      client.wait_at_barrier(f'scale4d {name}', _meet_sec * 1000)
    except jax.errors.JaxRuntimeError as error:
      raise TimeoutError(
        f'{_missing(name)} did not come to the {what} within '
        f'{duration(_meet_sec)} (config.processes.meet_sec): look at the logs '
        'there'
      ) from error


def agree(what: str, mine: str, decide: Callable[[list[str]], str]) -> str:
  """What the first process decides from a word of each; the same on all.

  Also by a thread, of all processes at once.

  Args:
    what: is decided, such as 'digests of step 6'; for people.
    mine: this process's word.
    decide: words, in the order of processes -> the decision.

  Raises:
    TimeoutError: a word, or the decision, has not come within `meet_sec`.
  """
  if jax.process_count() == 1:
    return decide([mine])
  _met[what] = _met.get(what, 0) + 1
  client, place = global_state.client, f'{_WORDS}{what} {_met[what]}'

  def word(of: str) -> str:
    try:
      return client.blocking_key_value_get(f'{place}/{of}', _meet_sec * 1000)
    except jax.errors.JaxRuntimeError as error:
      raise TimeoutError(
        f'no word of process {of} on the {what} within {duration(_meet_sec)} '
        '(config.processes.meet_sec): look at the logs there'
      ) from error

  if jax.process_index():
    client.key_value_set(f'{place}/{jax.process_index()}', mine)
    return word('0')
  others = []
  for process in range(1, jax.process_count()):
    others.append(word(str(process)))
    client.key_value_delete(f'{place}/{process}')  # they may be long
  decision = decide([mine, *others])
  client.key_value_set(f'{place}/0', decision)
  return decision


def stuck_at(place: str) -> list[str]:
  """Tells the others where this process is for long; gives where they are.

  Args:
    place: for people; '': it has come on.

  Returns:
    A line for each other process that has told so.
  """
  client, mine = global_state.client, f'{_PLACES}{jax.process_index()}'
  if jax.process_count() == 1 or client is None:  # alone, or parted
    return []
  try:
    if not place:
      client.key_value_delete(mine)
      return []
    client.key_value_set(mine, place, allow_overwrite=True)
    told = client.key_value_dir_get(_PLACES)
  except jax.errors.JaxRuntimeError as error:
    return [f'the service of process 0 does not answer: {error}']
  return [line for key, line in told if key != mine]


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


def _missing(name: str) -> str:
  """'process 1 on host-b' and so on, of those that are not at a meeting."""
  client = global_state.client
  came = {
    int(key.rpartition('/')[2])
    for key, _ in client.key_value_dir_get(f'{_MEETINGS}{name}/')
  }
  host = {
    int(key.rpartition('/')[2]): value
    for key, value in client.key_value_dir_get(_HOSTS)
  }
  late = [k for k in range(jax.process_count()) if k not in came]
  if not late:
    return 'the service of process 0'
  named = [f'process {k} on {host.get(k, "an unknown host")}' for k in late]
  more = f' and {len(named) - 8} more' if len(named) > 8 else ''
  return ', '.join(named[:8]) + more


@contextlib.contextmanager
def _waiting(line: Callable[[float], str]) -> Iterator[None]:
  """Inside, a thread prints now and then what is waited for.

  Args:
    line: seconds of waiting -> what to print.
  """
  over = threading.Event()
  start = time.monotonic()

  def speak():
    while not over.wait(_BETWEEN_LINES):
      # Not by `say`, which is muted in all processes but the first.
      print(line(time.monotonic() - start), flush=True)

  thread = threading.Thread(target=speak, name='waiting', daemon=True)
  thread.start()
  try:
    yield
  finally:
    over.set()
    thread.join()


def _gpus_of_task() -> list[int] | None:
  """Numbers of the GPUs of a task of Slurm; None: the one that JAX takes.

  JAX gives each task the GPU of its number on the node. A node's only task
  would leave the others idle; and where Slurm shows each task its own alone
  (--gpus-per-task), that number is not there.
  """
  visible = os.environ.get('CUDA_VISIBLE_DEVICES', '')
  seen = len([one for one in visible.split(',') if one])
  seen = seen or _number('SLURM_GPUS_ON_NODE') or 0
  # Of this node: '2(x3),1' lists how many tasks each node has.
  tasks = os.environ.get('SLURM_STEP_TASKS_PER_NODE', '')
  alone = tasks.partition('(')[0] == '1' and ',' not in tasks
  if seen and (alone or seen == 1):
    return list(range(seen))
  return None


def detected() -> str:
  """What joins processes here; '' where this one is alone.

  A cluster of one process is none: nothing is to be joined.
  """
  if 'JAX_COORDINATOR_ADDRESS' in os.environ:
    return 'JAX_COORDINATOR_ADDRESS'
  with warnings.catch_warnings():
    # In any pod of Kubernetes: that a package would be needed to join there.
    warnings.simplefilter('ignore')
    for each in ClusterEnv._cluster_types:
      if not each.opt_in_only_method and each.is_env_present():
        return each.name if each.get_process_count() > 1 else ''
  return ''


def _check_company(found: str) -> None:
  """Refuses to be one of several runs in one folder."""
  if jax.process_count() > 1:
    return
  for name in _STARTED:
    value = os.environ.get(name, '')
    count = len(value.split(',')) if 'HOSTNAMES' in name else _number(name)
    if count and count > 1:
      raise ValueError(
        f'{name}={value} says that {count} processes were started, but this '
        f'one is alone ({found or "no cluster was detected"}): start it as '
        'the scheduler does its tasks (srun python -m ...), set '
        f'JAX_COORDINATOR_ADDRESS, or unset {name} for a run of one process'
      )


def _number(name: str) -> int | None:
  """Of an environment variable, if it is there.

  Raises:
    ValueError: it is no number.
  """
  value = os.environ.get(name)
  if value is None:
    return None
  if not value.isdigit():
    raise ValueError(f'{name}={value!r} must be a number: set it right, or not')
  return int(value)


def options_of_programs_run_once() -> dict[str, int]:
  """Compiler options for initialisation and the like.

  On a CPU, LLVM would spend 10 s on the random numbers of a small model that
  take 0.1 s to draw.
  """
  on_cpu = jax.default_backend() == 'cpu'
  return {'xla_backend_optimization_level': 0} if on_cpu else {}
