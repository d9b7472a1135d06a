"""What is known of each chip: the peaks that utilisation is a share of.

bfloat16 TFLOP/s, dense, as the makers publish them (cloud.google.com/tpu/docs,
nvidia.com data sheets). A new generation is one row.
"""

import jax

PEAK_TFLOPS = {
  'TPU v4': 275.0,
  'TPU v5 lite': 197.0,
  'TPU v5': 459.0,
  'TPU v5p': 459.0,
  'TPU v6 lite': 918.0,
  'NVIDIA H100 80GB HBM3': 989.0,
  'NVIDIA H200': 989.0,
}


def peak_flops(device: jax.Device) -> float | None:
  """Peak bfloat16 FLOP/s of the device's kind, None where not known."""
  tflops = PEAK_TFLOPS.get(device.device_kind)
  return tflops and tflops * 1e12
