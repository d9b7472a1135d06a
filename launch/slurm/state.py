"""Whether a job goes on, and with what code it ended if not."""

from base import exits
from launch import policy
from launch.slurm import calls
from launch.slurm.record import Record

# Of Slurm, of a job that has not ended.
GOES_ON = (
  *('PENDING', 'RUNNING', 'COMPLETING', 'SUSPENDED', 'CONFIGURING'),
  *(
    'REQUEUED',
    'REQUEUE_HOLD',
    'RESIZING',
    'SIGNALING',
    'STAGE_OUT',
    'STOPPED',
  ),
)


def of(record: Record) -> tuple[str, str]:
  """(state, reason) as Slurm has them; '' where it has forgotten the job."""
  about = calls.find(record.job)
  return about.get('JobState', ''), about.get('Reason', 'None')


def code(record: Record) -> int | None:
  """The exit code of a job, as the policy has it; None as long as it goes on.

  For who waits for it, such as a sweep.

  Raises:
    ValueError: Slurm cannot be asked.
  """
  state, _ = of(record)
  # For a moment a job that goes back into the queue is one that failed.
  ends = record.ends()
  goes_back = bool(ends) and ends[-1]['again'] and state == 'FAILED'
  if state in GOES_ON or goes_back:
    return None
  if state in ('COMPLETED', 'FAILED', '') and ends:
    return ends[-1]['code']
  if state == 'FAILED' and record.stop.exists():
    return exits.AGAIN  # before it began
  if state == 'CANCELLED':
    return exits.INTERRUPTED
  # Its nodes are gone, or its time was over before it had saved.
  return policy.LATE if state == 'TIMEOUT' else policy.ABORTED
