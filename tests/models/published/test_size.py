"""Published files at full size: read shard by shard, and run."""

import os
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest

from models import published
from tests.models.published import layouts

DEVICES = 8
PROGRAM = """
  import math, sys, threading, time
  import jax
  from models.published import files, names, loading
  from train import mesh as mesh_lib

  def held():
    # Of this process alone: pages of the mapped file can be dropped any time.
    for line in open('/proc/self/status'):
      if line.startswith('RssAnon'):
        return int(line.split()[1]) * 1024

  peak, done = 0, threading.Event()

  def watch():
    global peak
    while not done.is_set():
      peak = max(peak, held())
      time.sleep(0.0005)

  entries = files.opened(sys.argv[1])
  layout = names.of_file('x', {k: x.shape for k, x in entries.items()})
  leaves = {
    name.removeprefix('backbone/'): leaf
    for name, leaf in layout.leaves.items()
  }
  shapes = loading.nested({
    name: jax.ShapeDtypeStruct(leaf.shape, 'float32')
    for name, leaf in leaves.items()
  })
  mesh = mesh_lib.make(fsdp=8)
  places = loading.flat(mesh_lib.params_shardings(mesh, shapes))
  largest = max(
    4 * math.prod(places[name].shard_shape(leaf.shape))
    for name, leaf in leaves.items()
  )
  before = held()
  thread = threading.Thread(target=watch)
  thread.start()
  params = jax.block_until_ready(loading.params(entries, leaves, places))
  done.set()
  thread.join()
  total = sum(x.nbytes for x in jax.tree.leaves(params))
  on_devices = sum(
    shard.data.nbytes
    for x in jax.tree.leaves(params) for shard in x.addressable_shards
  )
  print(total, largest, peak - before - on_devices)
"""


@pytest.mark.slow
def test_the_host_holds_one_shard_beside_what_devices_hold(tmp_path):
  """On 8 simulated devices, whose memory is the host's and is subtracted."""
  d, m, heads = 1536, 6144, 12
  sizes = {12: d, 3: heads, 4: d // heads, 20: m}
  shapes = {
    key: tuple(sizes.get(n, n) for n in shape)
    for key, shape in layouts.backbone(18).items()
    if 'processor' in key
  }
  name = 'params/encoder'
  shapes |= {
    f'{name}/patch_embedding/Conv_0/kernel': (2, 16, 16, 3, d),
    f'{name}/patch_embedding/Conv_0/bias': (d,),
    f'{name}/posenc/embeddings': (8, 14, 14, d),
  }
  path = layouts.save(tmp_path / 'x.npz', shapes)
  environment = os.environ | {
    'XLA_FLAGS': f'--xla_force_host_platform_device_count={DEVICES}',
    'JAX_PLATFORMS': 'cpu',
  }
  ran = subprocess.run(
    [sys.executable, '-c', textwrap.dedent(PROGRAM), path],
    env=environment,
    capture_output=True,
    text=True,
    check=True,
  )
  total, shard, beside = map(int, ran.stdout.split())
  print(
    f'{total / 1e9:.2f} GB, largest shard {shard / 1e6:.0f} MB, '
    f'{beside / 1e6:.0f} MB beside'
  )
  assert total > 2e9
  assert beside < 1.5 * shard + 50e6


def full_size(layers=12, d=768, heads=12, m=3072):
  """The published depth file's names and shapes."""
  sizes = {12: d, 3: heads, 4: d // heads, 20: m}
  found = {}
  for key, shape in layouts.depth(layers).items():
    if 'layers_0/processor' in key:
      found[key] = tuple(sizes.get(n, n) for n in shape)
  encoder, head = 'params/layers_0/encoder', 'params/layers_2'
  found |= {
    f'{encoder}/patch_embedding/Conv_0/kernel': (2, 16, 16, 3, d),
    f'{encoder}/patch_embedding/Conv_0/bias': (d,),
    f'{encoder}/posenc/embeddings': (8, 14, 14, d),
    f'{head}/query': (6272, 16, 64),
    f'{head}/temporal_posenc/embeddings': (16, 1, d),
  }
  for name, *shape in (
    *((f'{x}_embedding', d, 16, 64) for x in ('key', 'value')),
    *(('Dense_0', 1024, 1024), ('Dense_1', 1024, 128)),
    *(('MLP_0/Dense_0', 1024, 4096), ('MLP_0/Dense_1', 4096, 1024)),
  ):
    found[f'{head}/{name}/kernel'] = tuple(shape)
    found[f'{head}/{name}/bias'] = tuple(shape[1:])
  for name, width in (('LayerNorm_0', d), ('LayerNorm_1', 1024)):
    found |= {f'{head}/{name}/{x}': (width,) for x in ('scale', 'bias')}
  return found


@pytest.mark.slow
def test_the_published_depth_model_runs_at_its_size(tmp_path):
  path = layouts.save(tmp_path / 'x.npz', full_size())
  model = published.load(path)
  leaves = jax.tree.leaves(model.params)
  assert sum(x.size for x in leaves) == 105_026_944
  assert sum(len(x.keys) for x in model.layout.leaves.values()) == 213
  video = np.random.default_rng(0).random((1, 16, 224, 224, 3), np.float32)
  depth = model(video)
  assert depth.shape == (1, 16, 224, 224, 1)
  assert np.isfinite(depth).all()
