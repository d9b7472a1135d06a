"""Data sets by the names that the package tensorflow-datasets gives them."""

import re

from etils import epath

from base import files
from base.console import say
from base.names import did_you_mean
from data import remote


def folder_of(name: str, data_dir: str, prepare: bool) -> str:
  """The folder of a data set, which the package may prepare first.

  Args:
    name: as the package takes it: NAME, NAME/CONFIG, NAME/CONFIG:VERSION.
    data_dir: where it has its data sets, on a disk or in a store; '' for its
      own default.
    prepare: whether it may download and prepare what is missing.

  Raises:
    ValueError: it knows no such data set, or it is not there and may not or
      cannot be prepared.
    base.exits.Unavailable: the store does not answer.
  """
  if not files.is_local(data_dir) and not remote.path(data_dir).is_dir():
    raise ValueError(
      f'tfds: data_dir={data_dir}: there is no such folder in the store'
    )
  # Slow to import, and of no use to who has the folder.
  import tensorflow_datasets as package

  try:
    builder = package.builder(name, data_dir=data_dir or None)
  # The last for a version that the package has no code for.
  except (ValueError, AssertionError) as error:
    raise ValueError(_unknown(package, name, data_dir, error)) from error
  folder = str(builder.data_path)
  if builder.is_prepared():
    return folder
  if not files.is_local(folder):
    raise ValueError(
      f'tfds: dataset={name} is not in {folder}: prepare it on a disk with '
      f'`tfds build {name}`, and copy it there'
    )
  if not prepare:
    raise ValueError(
      f'tfds: dataset={name} is not in {folder}: prepare it with `tfds build '
      f'{name}` (and --data_dir), or with prepare=true'
    )
  # Of several processes of this machine one prepares.
  with files.lock(f'{folder}.lock', wait=True):
    if not builder.is_prepared():
      say(f'tfds: {name} is prepared into {folder}')
      _prepare(package, name, builder)
  return folder


def _prepare(package, name: str, builder) -> None:
  download = package.core.download
  try:
    builder.download_and_prepare()
  except (
    # What must be downloaded by hand, or needs another package.
    *(ValueError, AssertionError, ImportError),
    download.util.DownloadError,
    download.download_manager.NonMatchingChecksumError,
  ) as error:
    raise ValueError(
      f'tfds: dataset={name} cannot be prepared: {" ".join(str(error).split())}'
    ) from error


def _unknown(package, name: str, data_dir: str, error: Exception) -> str:
  """Why there is no builder, with the nearest name that has one."""
  dataset = re.split('[/:]', name)[0]
  root = epath.Path(data_dir or package.core.constants.DATA_DIR).expanduser()
  there = [
    *(root / dataset).glob('*/dataset_info.json'),
    *(root / dataset).glob('*/*/dataset_info.json'),
  ]
  known = [
    f'{info.parent.parent.relative_to(root)}:{info.parent.name}'
    for info in there
  ]
  if isinstance(error, package.core.DatasetNotFoundError):
    # What it says itself lists all that it has, a line each.
    why = f'neither {root} nor the package tensorflow-datasets has it'
    if not known:
      known = package.list_builders(with_community_datasets=False)
      known += [each.name for each in root.glob('*') if each.is_dir()]
  else:
    why = str(error).splitlines()[0].rpartition('": ')[2]
    why = why.partition(' Here are')[0].rstrip('.')
    if not known and re.fullmatch(r'\w+', dataset):
      configs = package.builder_cls(dataset).builder_configs
      known = [f'{dataset}/{config}' for config in configs] or [dataset]
  return f'tfds: dataset={name}: {why}{did_you_mean(name, known)}'
