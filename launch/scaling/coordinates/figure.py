"""The figure of a coordinate check."""

from collections.abc import Mapping, Sequence

from matplotlib import cm
from matplotlib.figure import Figure

from evals.report import plots


def draw(
  found: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]], path: str
) -> None:
  """A row for each parametrisation, a panel a place, a line a step."""
  with plots.style():
    figure = Figure(figsize=(plots.WIDTH, 5.6), layout='constrained')
    # One scale a place: what is looked at is whether lines rise.
    rows = figure.subplots(
      len(found),
      len(next(iter(found.values()))),
      sharex=True,
      sharey='col',
      squeeze=False,
    )
    for panels, (name, of_place) in zip(rows, found.items()):
      for axes, (place, of_width) in zip(panels, of_place.items()):
        widths = list(of_width)
        steps = len(of_width[widths[0]])
        for step in range(steps):
          axes.plot(
            widths,
            [of_width[width][step] for width in widths],
            color=cm.viridis(0.9 * step / max(1, steps - 1)),
            linewidth=1.2,
            marker='o',
            markersize=3,
            label=f'step {step + 1}' if step in (0, steps - 1) else None,
          )
        axes.set(xscale='log', yscale='log')
        axes.set_xticks(widths, [str(width) for width in widths], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_title(f'{name}: {place}')
    for axes in rows[-1]:
      axes.set_xlabel('width')
    rows[0][0].set_ylabel('moved since the start, RMS')
    rows[0][0].legend()
    plots.save(figure, path)
