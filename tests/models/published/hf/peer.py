"""An encoder in transformers: run by an interpreter that has it, and PyTorch.

    INTERPRETER peer.py IN.json OUT

IN.json has its config, a seed and where pixels are. OUT becomes a folder as
save_pretrained makes it, of random weights, with `states.npz`, all hidden
states, and a folder `gradient` of the same names.
"""

import json
import pathlib
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import save_file


def main(asked: str, out: str) -> None:
  """Makes, saves and runs it."""
  asked, out = json.loads(pathlib.Path(asked).read_text()), pathlib.Path(out)
  options = dict(asked['config'])
  config = transformers.AutoConfig.for_model(
    options.pop('model_type'), **options
  )
  torch.manual_seed(asked['seed'])
  model = getattr(transformers, asked['model'])(config).float().eval()
  with torch.no_grad():
    # As saved they are near 0, or 0: no bias would be missed.
    for weight in model.parameters():
      inputs = np.prod(weight.shape[1:]) if weight.ndim > 1 else 9
      weight.add_(torch.randn_like(weight) * float(inputs) ** -0.5)
  model.save_pretrained(out)
  pixels = torch.from_numpy(np.load(asked['pixels'])).float()
  got = run(model, asked, pixels)
  np.savez(out / 'states.npz', *[x.detach().numpy() for x in got])
  cotangent = torch.from_numpy(np.load(asked['cotangent'])).float()
  (got[-1] * cotangent).sum().backward()
  # A weight that nothing reaches, as of a decoder, has none.
  gradient = {
    name: weight.grad
    for name, weight in model.named_parameters()
    if weight.grad is not None
  }
  (out / 'gradient').mkdir()
  save_file(gradient, out / 'gradient/model.safetensors')
  print(transformers.__version__, torch.__version__)


def run(model, asked, pixels) -> list[torch.Tensor]:
  """Hidden states, of which the last is last_hidden_state."""
  base = getattr(model, model.base_model_prefix, model)
  if asked['extra'] is not None:
    pixels = pixels.flatten(0, 1)  # pictures
  found = base(
    pixels, output_hidden_states=True, return_dict=True, **asked['arguments']
  )
  states = [*found.hidden_states[:-1], found.last_hidden_state]
  if asked['extra'] is None:
    return states
  clips, width = asked['clips'], states[0].shape[-1]
  return [x[:, asked['extra'] :].reshape(clips, -1, width) for x in states]


if __name__ == '__main__':
  main(*sys.argv[1:])
