#!/bin/sh
# grain 0.2.18: which elements share a batch depends on the number of worker
# processes, where batches are made before `mp_prefetch`.
#
# Guessed: workers read ahead, and the data set stays the same: the number of
# processes is a matter of speed. Each worker batches its own share instead, so
# that a run that goes on with another number sees other batches, and nothing
# says so. `MapDataset.batch`, before `to_iter_dataset`, does not depend on it.
# Seen: 0 workers [0, 1] [2, 3] ..., 2 workers [0, 2] [1, 3] ...
# Ours: a part of a batch is one element for grain (data/pipeline.py), and tests
# compare the batches of 0, 1 and 2 workers.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet grain==0.2.18
cat > "$work/run.py" <<'END'
import grain
from absl import flags

flags.FLAGS.mark_as_parsed()


def batches(workers, early):
  dataset = grain.MapDataset.range(8)
  if early:
    dataset = dataset.batch(2).to_iter_dataset()
  else:
    dataset = dataset.to_iter_dataset().batch(2)
  if workers:
    options = grain.MultiprocessingOptions(num_workers=workers)
    dataset = dataset.mp_prefetch(options)
  return [batch.tolist() for batch in dataset]


if __name__ == '__main__':
  late = {workers: batches(workers, early=False) for workers in (0, 2)}
  early = {workers: batches(workers, early=True) for workers in (0, 2)}
  print('batched as it is iterated:', late)
  print('batched before:', early)
  assert early[0] == early[2], 'they depend on workers, batched before'
  assert sorted(late[0]) != sorted(late[2]), 'it is otherwise now'
END
"$work/venv/bin/python" "$work/run.py" 2> "$work/said" ||
  { cat "$work/said" >&2; exit 1; }
