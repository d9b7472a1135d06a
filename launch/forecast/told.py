"""A forecast: its figures, for people and files, beside what is measured."""

import dataclasses
from typing import Any

from base import jsons

GIB = 2**30
_METRICS = {'step': int}


@dataclasses.dataclass(frozen=True)
class Forecast:
  """Of a job on a slice; an estimate, never a measurement.

  Attributes:
    how: it was found, or why there is none.
    topology: as 'v5p:8x8x8'; '' where there is none.
    chips: of all slices.
    step_sec: seconds of a step; 0: there is no forecast.
    mfu: model FLOPs of a step over what the chips could do in its time.
    days: of all steps, without input, checkpoints and evaluation.
    chip_hours: likewise.
    bytes_per_chip: that a step holds at most.
    bytes_limit: that a chip has for programs.
  """

  how: str
  topology: str = ''
  chips: int = 0
  step_sec: float = 0.0
  mfu: float = 0.0
  days: float = 0.0
  chip_hours: float = 0.0
  bytes_per_chip: float = 0.0
  bytes_limit: float = 0.0

  def __str__(self) -> str:
    """Three lines for people; one, where there is no forecast."""
    if not self.step_sec:
      return f'no forecast: {self.how}'
    used, limit = self.bytes_per_chip / GIB, self.bytes_limit / GIB
    return (
      f'forecast  {self.topology}, {self.chips} chips: step '
      f'{_seconds(self.step_sec)}, MFU {self.mfu:.3f}, {self.days:.2f} days, '
      f'{self.chip_hours:,.0f} chip-hours\n'
      f'memory    {used:.2f} of {limit:.2f} GiB a chip\n'
      f'how       {self.how}'
    )

  def as_dict(self) -> dict[str, Any]:
    """For a launcher's state file; `of_dict` reads it again."""
    return dataclasses.asdict(self)


def of_dict(values: dict[str, Any], where: str) -> Forecast:
  """What `Forecast.as_dict` wrote.

  Args:
    values: of a state file.
    where: the file is, for an error.

  Raises:
    ValueError: it is damaged.
  """
  kinds = {field.name: field.type for field in dataclasses.fields(Forecast)}
  remedy = 'take what `python -m launch.plan` says instead'
  jsons.expect(values, kinds, f'the forecast in {where}', remedy)
  return Forecast(**{name: values[name] for name in kinds})


def beside(measured_step_sec: float, forecast: Forecast) -> str:
  """A measured step beside the predicted one, on one line.

  Args:
    measured_step_sec: `time/step_sec` of the run's metrics; 0: none yet.
    forecast: that was made when the job was started.
  """
  parts = ['no step measured yet']
  if measured_step_sec:
    parts = [f'step {_seconds(measured_step_sec)} measured']
  if not forecast.step_sec:
    return f'{parts[0]}; no forecast: {forecast.how}'
  parts.append(f'{_seconds(forecast.step_sec)} predicted')
  if measured_step_sec:
    ratio = measured_step_sec / forecast.step_sec
    days = forecast.days * ratio
    parts.append(f'{ratio:.2f} times as long')
    parts.append(f'{days:.2f} days at this rate')
  return f'{", ".join(parts)} ({forecast.how})'


def of_run(workdir: str, forecast: Forecast) -> str:
  """How far a run has come, and `beside` of its last measured step.

  Args:
    workdir: of the run; '': it has none.
    forecast: that was made when the job was started.
  """
  if not workdir:
    return beside(0.0, forecast)
  path = f'{workdir}/metrics.jsonl'
  try:
    lines = jsons.read_lines(path, _METRICS, 'wait for the next line')
  except FileNotFoundError:
    return beside(0.0, forecast)
  except (OSError, ValueError) as error:
    # What is said of the machines does not depend on it.
    return f'steps are not known: {error}'
  step = max((line['step'] for line in lines), default=0)
  timed = [line['time/step_sec'] for line in lines if 'time/step_sec' in line]
  return f'step {step}: {beside(timed[-1] if timed else 0.0, forecast)}'


def _seconds(value: float) -> str:
  """'372 ms', '1.20 s'."""
  return f'{value:.2f} s' if value >= 1 else f'{1e3 * value:.3g} ms'
