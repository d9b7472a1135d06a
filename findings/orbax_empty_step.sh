#!/bin/sh
# orbax-checkpoint 0.12.8, local disk: a step's folder without anything in it
# counts as a checkpoint, and as the latest.
#
# Guessed: a checkpoint is what was committed: Orbax writes the time of it into
# the folder (_CHECKPOINT_METADATA). A copy of a run, or a deletion, that was
# interrupted leaves an empty folder behind, and a run that asks for its latest
# step is given that one, though a whole checkpoint is beside it.
# Seen: latest_step() 2, all_steps() [1, 2], and restoring step 2 raises.
# Ours: train/checkpoint looks before Orbax does: a start names the folder, sets
# it aside and goes on from the one before, and a reader refuses it.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet orbax-checkpoint==0.12.8 jax==0.10.2 \
  jaxlib==0.10.2
JAX_PLATFORMS=cpu "$work/venv/bin/python" - "$work/run" 2> /dev/null <<'END'
import os
import sys

import numpy as np
import orbax.checkpoint as ocp

folder = sys.argv[1]
state = {'a': np.ones(3)}
with ocp.CheckpointManager(folder) as manager:
  manager.save(1, args=ocp.args.StandardSave(state))
  manager.wait_until_finished()
os.mkdir(f'{folder}/2')
with ocp.CheckpointManager(folder) as manager:
  latest, steps = manager.latest_step(), sorted(manager.all_steps())
  print('latest', latest, 'all', steps)
  try:
    manager.restore(latest, args=ocp.args.StandardRestore(state))
    restored = True
  except (ValueError, OSError, KeyError) as error:
    restored = False
    print('restoring it raises', type(error).__name__)
  whole = manager.restore(1, args=ocp.args.StandardRestore(state))
if latest != 2 or restored or whole['a'].sum() != 3:
  print('it is otherwise now')
  sys.exit(1)
END
