"""HuggingFace's VideoMAE, served a step at a time to `videomae`.

Runs in a process of its own: for every line on stdin it makes one step and
prints its seconds.
"""

import sys

import torch
from transformers import VideoMAEConfig, VideoMAEForPreTraining

from launch.bench import turns


def make_step(clips: int, visible: int):
  """A function that makes one AdamW step of VideoMAE, ViT-S, on pixels."""
  torch.manual_seed(0)
  config = VideoMAEConfig(
    image_size=224,
    patch_size=16,
    num_frames=16,
    tubelet_size=2,
    hidden_size=384,
    num_hidden_layers=12,
    num_attention_heads=6,
    intermediate_size=1536,
    decoder_hidden_size=384,
    decoder_num_hidden_layers=2,
    decoder_num_attention_heads=6,
    decoder_intermediate_size=1536,
    norm_pix_loss=False,
  )
  model = VideoMAEForPreTraining(config).train()
  optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
  video = torch.rand(clips, 16, 3, 224, 224)
  masked = torch.rand(clips, 1568).argsort(1) >= visible

  def step() -> None:
    optimizer.zero_grad(set_to_none=True)
    model(pixel_values=video, bool_masked_pos=masked).loss.backward()
    optimizer.step()

  return step


def main() -> None:
  """Serves steps until stdin ends."""
  step = make_step(*map(int, sys.argv[1:]))
  step()
  turns.serve(step)


if __name__ == '__main__':
  main()
