#!/bin/sh
# tensorboard 2.21.0: EventAccumulator forgets what came before a restart of
# TensorFlow 1's scalars, and keeps it of TensorFlow 2's.
#
# Guessed: an event with SessionLog.START at step 4 says that the run goes on
# there, and whoever reads the files drops what was written from step 4 on
# before it. Its docstring says so: "purge all previously seen events with a
# greater event.step".
# Seen: steps 1 to 6, then START at 4, then 4 to 6 again: 6 points of a scalar
# as a simple_value, and 9 as a tensor, which is what tf.summary.scalar, clu and
# Keras write. Its list of what to purge has no tensors.
# Ours: train/writer/boards.py writes START, for a TensorBoard that is open, and
# takes the later events out of the files.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet tensorboard==2.21.0 'setuptools<81'
"$work/venv/bin/python" - "$work/run" 2> /dev/null <<'END'
import sys
import time

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.scalar import summary_v2
from tensorboard.summary.writer import event_file_writer

folder = sys.argv[1]
writer = event_file_writer.EventFileWriter(folder)


def add(step, **what):
  now = time.time()
  writer.add_event(event_pb2.Event(wall_time=now, step=step, **what))


def scalars(steps):
  for step in steps:
    old = summary_pb2.Summary.Value(tag='old', simple_value=step)
    add(step, summary=summary_pb2.Summary(value=[old]))
    add(step, summary=summary_v2.scalar_pb('new', step))


scalars(range(1, 7))
start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
add(4, session_log=start)
scalars(range(4, 7))
writer.close()
found = event_accumulator.EventAccumulator(folder).Reload()
old = [each.step for each in found.Scalars('old')]
new = [each.step for each in found.Tensors('new')]
print('simple_value', old)
print('tensor      ', new)
if old != [1, 2, 3, 4, 5, 6] or new != [1, 2, 3, 4, 5, 6, 4, 5, 6]:
  print('it is otherwise now')
  sys.exit(1)
END
