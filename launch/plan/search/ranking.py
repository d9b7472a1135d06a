"""The best candidates of a recipe, compiled one after the other and ranked."""

from collections.abc import Mapping
from typing import Any

from base import console
from launch.plan import does_not_fit, estimate, memory
from launch.plan.search.candidates import Candidate, candidates
from launch.plan.topology import Topology


def rank(
  config: Mapping[str, Any], topology: Topology, *, compiles: int
) -> list[tuple[Candidate, dict[str, Any]]]:
  """Compiles the most promising candidates; the fastest by roofline first.

  Args:
    config: the recipe.
    topology: where.
    compiles: how many.

  Raises:
    ValueError: nothing fits, by formula or by the compiler.
  """
  fitting, discarded = candidates(config, topology)
  console.say(f'{len(fitting)} layouts fit by formula, {discarded} do not')
  if not fitting:
    raise ValueError(
      f'no layout of this recipe fits {topology.name}: choose more chips, or '
      'another size'
    )
  found = []
  chosen = fitting[:compiles]
  with console.progress('compiling', len(chosen), 'layout') as bar:
    for candidate in chosen:
      console.say(f'compiling {candidate} ...')
      try:
        plan = estimate.plan(candidate.config, topology)
      except does_not_fit.DoesNotFitError as error:
        console.say(f'  does not fit: {error}')
      else:
        mfu = plan['estimates']['roofline']['mfu']
        took = plan['compile_sec']
        console.say(f'  MFU {mfu:.3f} (roofline), compiled in {took:.0f} s')
        found.append((candidate, plan))
      bar.update()
  if not found:
    raise ValueError(
      f'none of the {len(chosen)} layouts that were compiled fits '
      f'{topology.name}, though they do by formula: try more of the '
      f'{len(fitting)} with --compiles={2 * len(chosen)}, or more chips'
    )
  return sorted(
    found, key=lambda pair: -pair[1]['estimates']['roofline']['mfu']
  )


def text(found: list[tuple[Candidate, dict[str, Any]]]) -> str:
  """A table of what `rank` found."""
  lines = [
    f'{"MFU":>6}{"cycles":>8}{"step ms":>9}{"exposed":>9}{"GiB":>7}  layout'
  ]
  for candidate, plan in found:
    each = plan['estimates']['roofline']
    peak = plan['compiled_bytes']['peak'] / memory.GIB
    lines.append(
      f'{each["mfu"]:6.3f}{plan["estimates"]["cycles"]["mfu"]:8.3f}'
      f'{1e3 * each["step_sec"]:9.1f}{1e3 * each["exposed_sec"]:9.1f}'
      f'{peak:7.2f}  {candidate}'
    )
  return '\n'.join(lines)
