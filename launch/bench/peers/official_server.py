"""The official 4DS-B with depth, served a pass at a time.

For every line on stdin it runs one forward pass and prints its seconds.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from kauldron.modules import pos_embeddings
from representations4d.models import model as official
from representations4d.models import readout
from representations4d.utils import checkpoint_utils

from launch.bench import turns


def make_forward(path: str):
  """A function that runs one pass, with the weights of a file."""
  tokenizer = official.Tokenizer(
    patch_embedding=official.PatchEmbedding(
      patch_size=(2, 16, 16), num_features=768
    ),
    posenc=pos_embeddings.LearnedEmbedding(dtype=jnp.float32),
  )
  backbone = official.Model(
    encoder=tokenizer,
    processor=official.GeneralizedTransformer.from_variant_str('B'),
  )
  between = official.EncoderToReadout(
    embedding_shape=(8, 14, 14), readout_depth=0.95, num_input_frames=16
  )
  head = readout.AttentionReadout(
    num_classes=128,
    num_params=1024,
    num_heads=16,
    num_queries=6272,
    output_shape=(16, 224, 224, 1),
    decoding_patch_size=(2, 8, 8),
  )
  arrays = checkpoint_utils.npload(path)
  params = checkpoint_utils.recover_tree(arrays)['params']
  video = jnp.full((1, 16, 224, 224, 3), 0.5, jnp.float32)

  @jax.jit
  def run(params, video):
    options = {'is_training_property': False}
    x = backbone.apply({'params': params['layers_0']}, video, **options)
    x = between.apply({}, x, **options)
    return head.apply({'params': params['layers_2']}, x, **options)

  params = jax.tree.map(jnp.asarray, params)
  return lambda: jax.block_until_ready(run(params, video))


def main() -> None:
  """Serves passes until stdin ends."""
  forward = make_forward(sys.argv[1])
  assert np.isfinite(forward()).all()
  turns.serve(forward)


if __name__ == '__main__':
  main()
