"""Objectives of the recipes, with some of their options changed."""

from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from configs import mae as mae_recipe
from configs import moog as moog_recipe
from configs import rvm as rvm_recipe
from models import mae as mae_lib
from models import moog as moog_lib
from models import rvm as rvm_lib

# Published, in float32, nothing recomputed.
MAE = mae_recipe.get_config('size=S').model.to_dict()
del MAE['name']
MAE |= {'dtype': 'float32', 'remat': 'none'}
MOOG = moog_recipe.PUBLISHED | {'dtype': 'float32'}
RVM = rvm_recipe.get_config('data=DATA').model.to_dict()
del RVM['name']
RVM |= {'dtype': 'float32'}
# Those of a backbone alone.
VIT = {
  key: MAE[key]
  for key in (
    *('size', 'dim', 'depth', 'mlp', 'heads', 'patch'),
    *('dtype', 'remat', 'scan', 'attention', 'positions'),
  )
}
# Others' encoders, tiny.
_ENCODER = {
  **{'dim': 24, 'depth': 3, 'mlp': 40, 'heads': 3, 'patch': (2, 4, 4)},
  **{'frames': 4, 'height': 12, 'width': 12, 'epsilon': 1e-6},
  **{'dtype': 'float32', 'remat': 'none', 'scan': True, 'attention': 'auto'},
}
_PICTURES = {'frames': 3, 'width': 16, 'patch': (1, 4, 4), 'table': (5, 5)}
_PICTURES |= {'smooth': False, 'registers': 2, 'gated': True}
ENCODERS = {
  'dinov2': _ENCODER | _PICTURES,
  'videomae': {**_ENCODER, 'norm': True},
  'vjepa2': _ENCODER,
}

# A step that is compiled for another machine is traced under such a mesh.
MESH_OF_TPUS = AbstractMesh(
  *((1,), ('fsdp',), (AxisType.Auto,)),
  abstract_device=AbstractDevice(
    device_kind='TPU', num_cores=1, platform='tpu'
  ),
)


def mae(**changes):
  return mae_lib.make(**MAE | changes)


def moog(**changes):
  return moog_lib.make(**MOOG | changes)


def rvm(**changes):
  return rvm_lib.make(**RVM | changes)
