"""The figure of losses over rates."""

import math

from matplotlib import cm
from matplotlib.figure import Figure

from evals.report import plots
from launch.scaling.rates.best import Found, rate


def draw(found: Found, path: str) -> Figure:
  """A panel for each parametrisation, a line a width, a mark at its best."""
  with plots.style():
    figure = Figure(figsize=(plots.WIDTH, 4.0), layout='constrained')
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, (name, of_width) in zip(panels, found.items()):
      for number, (width, losses) in enumerate(of_width.items()):
        colour = cm.viridis(0.9 * number / max(1, len(of_width) - 1))
        # What diverged is left out.
        shown = {x: y for x, y in losses.items() if math.isfinite(y)}
        axes.plot(
          list(shown),
          list(shown.values()),
          color=colour,
          marker='o',
          markersize=3.5,
          linewidth=1.4,
          label=f'{width} wide',
        )
        axes.axvline(rate(losses), color=colour, linestyle=':', linewidth=1.2)
      axes.set(xscale='log', xlabel='learning rate', title=name)
    panels[0].set_ylabel('validation loss')
    panels[0].legend(fontsize=8)
    plots.save(figure, path)
  return figure
