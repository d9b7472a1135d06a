"""The published MooG, variant A, served a step at a time.

For every line on stdin it makes one step and prints its seconds. Modules and
numbers are those of `moog/configs/movi.py`, without the readouts.
"""

import sys

import jax
import jax.numpy as jnp
import optax
from moog import attention, conv, initializers, modules, pos_embeddings

from launch.bench import turns


def make_model() -> modules.Moog:
  """MooG without its optional loss gradient."""

  def transformer(heads, layers, **options):
    return attention.ImprovedTransformer(
      qkv_size=64 * heads,
      num_heads=heads,
      mlp_size=2048,
      num_layers=layers,
      **options,
    )

  strides = (1, 1, 1, 2, 1, 2)
  return modules.Moog(
    encoder=modules.SRTEncoder(
      backbone=conv.ConvNet(
        features=(64, 128, 128, 256, 256, 512),
        kernel_sizes=((3, 3),) * 6,
        strides=tuple((s, s) for s in strides),
        normalize_output=True,
      ),
      transformer=transformer(8, 0, hidden_size=512),
      pos_embedding=pos_embeddings.FourierEmbedding(
        num_fourier_bases=20, axes=(-3, -2), update_type='project_add'
      ),
    ),
    initializer=initializers.RandomStateInit(
      shape=(1024, 512), random_init_scale=1e-4
    ),
    correction_layer_norm=modules.nn.LayerNorm(
      epsilon=1e-4, use_scale=True, use_bias=False
    ),
    corrector=transformer(8, 2),
    predictor=transformer(4, 3),
    decoder=modules.SRTDecoder(
      transformer=transformer(2, 6, cross_attn_only=True),
      pos_embedding=pos_embeddings.SampleFourierEmbedding(
        num_fourier_bases=16, update_type='concat'
      ),
      subsample_factor=8,
      eval_subsample_factor=4,
    ),
    use_loss_gradient=False,
  )


def make_step(clips: int, frames: int):
  """A function that makes one step of the published optimizer."""
  model = make_model()
  video = jax.random.uniform(jax.random.key(0), (clips, frames, 128, 128, 3))
  options = {'batch': {}, 'is_training_property': True}
  tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-4, b2=0.95))

  def loss(params, rng):
    rngs = {'default': rng, 'state_init': rng}
    out = model.apply({'params': params}, video, rngs=rngs, **options)
    target = out['subsampled_targets_predicted']
    return jnp.mean(jnp.square(out['video_predicted'] - target))

  def update(params, state, rng):
    updates, state = tx.update(jax.grad(loss)(params, rng), state, params)
    return optax.apply_updates(params, updates), state

  update = jax.jit(update, donate_argnums=(0, 1))
  key = jax.random.key(1)
  rngs = {'params': key, 'default': key, 'state_init': key}
  params = jax.jit(lambda: model.init(rngs, video, **options)['params'])()
  count = sum(x.size for x in jax.tree.leaves(params))
  assert count == 34_726_787, count
  state = tx.init(params)

  def step() -> None:
    nonlocal params, state
    params, state = jax.block_until_ready(update(params, state, key))

  return step


def main() -> None:
  """Serves steps until stdin ends."""
  step = make_step(*map(int, sys.argv[1:]))
  step()
  step()
  turns.serve(step)


if __name__ == '__main__':
  main()
