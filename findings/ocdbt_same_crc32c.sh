#!/bin/sh
# orbax-checkpoint 0.12.8 with tensorstore 0.1.86, local disk: all data files of
# a checkpoint have one and the same CRC-32C, whatever they hold.
#
# Guessed: the CRC-32C of a whole file, which Google's object store keeps of every
# object and tools compare copies by, tells two checkpoints apart. But a file of
# OCDBT ends with the CRC-32C of what is before it, and the CRC-32C of any text
# followed by its own is a constant. So a file of another checkpoint, put in the
# place of the right one, has the sum that is expected.
# Seen: three states of other values and shapes; each file under d/ has 48674bc7,
# and their MD5s differ.
# Ours: digests have a second sum beside it (base/digests.py).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet orbax-checkpoint==0.12.8 jax==0.10.2 \
  jaxlib==0.10.2 google-crc32c==1.9.0 tensorstore==0.1.86
JAX_PLATFORMS=cpu "$work/venv/bin/python" - "$work" 2> /dev/null <<'END'
import hashlib
import importlib.metadata
import pathlib
import sys

import google_crc32c
import jax.numpy as jnp
import orbax.checkpoint as ocp

print('tensorstore', importlib.metadata.version('tensorstore'))
sums, hashes = set(), set()
for number, state in enumerate(
  (
    {'a': jnp.ones(3)},
    {'a': jnp.arange(3.0)},
    {'a': jnp.zeros((64, 32)), 'b': jnp.arange(7)},
  )
):
  folder = pathlib.Path(sys.argv[1], f'state-{number}')
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(folder, state)
  found = [path for path in folder.rglob('d/*') if path.is_file()]
  for path in found:
    data = path.read_bytes()
    sums.add(f'{google_crc32c.value(data):08x}')
    hashes.add(hashlib.md5(data).hexdigest())
  print('state', number, 'files', len(found), 'CRC-32C', sorted(sums))
print('different MD5s', len(hashes))
if sums != {'48674bc7'} or len(hashes) < 3:
  print('it is otherwise now')
  sys.exit(1)
END
