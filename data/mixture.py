"""Fixed shares: which row of each batch comes from which source.

Every batch holds the same number of clips of each source, so that neither
the loss nor the decoding cost wanders with the draw; rows of one source are
spread evenly over the batch, so that every host decodes the same mix. The order
of a source's own clips is drawn in `data/pipeline.py`.
"""

from collections.abc import Sequence

import numpy as np


def counts(weights: Sequence[float], batch_size: int) -> list[int]:
  """Rows per batch for each weight, by largest remainder.

  Raises:
    ValueError: a weight that is not positive, or too small for one row.
  """
  if any(not weight > 0 for weight in weights):
    raise ValueError(f'weights={list(weights)} must all be above 0')
  shares = np.asarray(weights, float) / np.sum(weights) * batch_size
  rows = np.floor(shares).astype(int)
  # Stable, so that ties go to the first source on every machine.
  largest = np.argsort(rows - shares, kind='stable')
  rows[largest[: batch_size - rows.sum()]] += 1
  if (rows == 0).any():
    empty = int(np.argmin(rows))
    raise ValueError(
      f'source {empty} with weight {weights[empty]} gets no row of '
      f'batch_size={batch_size}: raise its weight or the batch size'
    )
  return rows.tolist()


def rows(per_source: Sequence[int]) -> list[tuple[int, int]]:
  """For each row of a batch: (source, its number among that source's rows)."""
  spread = [
    ((number + 0.5) / count, source, number)
    for source, count in enumerate(per_source)
    for number in range(count)
  ]
  return [(source, number) for _, source, number in sorted(spread)]
