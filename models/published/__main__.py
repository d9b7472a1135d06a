r"""Public weights on the command line.

    python -m models.published info FILE
    python -m models.published convert FILE --out=RUN [--heads=FILE,FILE]
    python -m models.published export RUN --out=FILE.npz [--task=depth]

`info` says what a file holds, and checks it. `convert` makes a run's folder of
it, from which training starts (`--config.init_from.path=RUN`, which takes FILE
as well) and whose readouts `python -m evals --checkpoint=RUN` trains; each head
becomes a finished readout, RUN/heads/depth, for `python -m evals.predict`.
`export` writes a run's backbone, or a readout job's head, as published. Files
are npz or safetensors, by their ending.

    python -m models.published info hf:FOLDER
    python -m models.published convert hf:FOLDER --out=RUN [--frames=N]

are of encoders of others, as transformers saves them: docs/encoders.md.
"""

from absl import app, flags

from base import command

_OUT = flags.DEFINE_string('out', '', 'The folder or file to write.')
_HEADS = flags.DEFINE_list(
  'heads', [], 'Files of heads that belong to the backbone to convert.'
)
_OUTPUT_PATCH = flags.DEFINE_list(
  'output_patch',
  ['2', '8', '8'],
  'Frames, height and width that one query of a depth head predicts.',
)
_CLIP = {
  key: flags.DEFINE_integer(
    key, 0, f'{what} that an encoder of hf:FOLDER is to see; 0: its own.'
  )
  for key, what in (
    ('frames', 'Frames'),
    ('height', 'Pixels down'),
    ('width', 'Pixels across'),
  )
}
_TASK = flags.DEFINE_string(
  'task', '', 'Of a readout job to export: depth, points or boxes.'
)
_EMA = flags.DEFINE_bool(
  'ema', False, "Export the moving average of a run's parameters."
)


def main(words: list[str]) -> None:
  """Does what the first word says; heavy imports wait until it is known."""
  commands = {'info': _info, 'convert': _convert, 'export': _export}
  if len(words) != 2 or words[0] not in commands:
    raise app.UsageError('expected info FILE, convert FILE or export RUN')
  if (words[0] == 'info') == bool(_OUT.value):
    raise app.UsageError('convert and export need --out; info has none')
  if any(flag.value for flag in _CLIP.values()) and not (
    words[0] == 'convert' and words[1].startswith('hf:')
  ):
    raise app.UsageError('--frames, --height and --width are of convert hf:')
  commands[words[0]](words[1])


def _info(path: str) -> None:
  from evals import encoders
  from models.published import files, hf, names

  if encoders.is_named(path):
    print(hf.read(encoders.folder_of(path)).said)
    return
  entries = files.opened(path)
  files.check_sums(path)
  shapes = {key: entry.shape for key, entry in entries.items()}
  print(names.describe(path, shapes))


def _convert(path: str) -> None:
  from configs import mae, moog, readout, rvm
  from evals import convert, encoders
  from models.published import files, names

  if encoders.is_named(path):
    if _HEADS.value:
      raise app.UsageError('--heads are of a published backbone, not of hf:')
    clip = {key: flag.value for key, flag in _CLIP.items()}
    recipe = mae.get_config().to_dict()
    encoders.convert(path, _OUT.value, pretraining=recipe, **clip)
    return
  words = _OUTPUT_PATCH.value
  if len(words) != 3 or not all(word.isdigit() for word in words):
    raise app.UsageError(f'--output_patch={",".join(words)} must be T,H,W')
  shapes = {key: entry.shape for key, entry in files.opened(path).items()}
  recipe = {
    'moog': lambda: moog.get_config('data=-'),
    'rvm': lambda: rvm.get_config('data=-'),
  }.get(names.of_file(path, shapes).kind, mae.get_config)()
  convert.convert(
    path,
    _OUT.value,
    pretraining=recipe.to_dict(),
    readout=readout.get_config(
      'task=depth+points+boxes,recipe=paper,lr=3e-4'
    ).to_dict(),
    heads=_HEADS.value,
    output_patch=tuple(map(int, words)),
  )


def _export(run: str) -> None:
  from evals import convert
  from models.published import files

  files.check_ending(_OUT.value)  # before a checkpoint is read
  convert.export(run, _OUT.value, task=_TASK.value, ema=_EMA.value)


if __name__ == '__main__':
  command.run(main, words='info FILE, convert FILE or export RUN')
