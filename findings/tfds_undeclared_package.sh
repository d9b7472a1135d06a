#!/bin/sh
# tensorflow-datasets 4.9.10, Python 3.11: data sets that are downloaded need the
# package importlib_resources, which is not installed with it.
#
# Guessed: what `pip install tensorflow-datasets` installs suffices to prepare
# any of its data sets whose own code asks for no more.
# Seen: of one that has checksums of what it downloads, ModuleNotFoundError. The
# package imports importlib_resources to look for their list; its metadata ask
# for it for Python before 3.9 only.
# Ours: importlib-resources is in requirements.txt, and
# data/sources/tfds/named.py says it in one line where it is not there.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet tensorflow-datasets==4.9.10
"$work/venv/bin/python" - <<'END'
import sys

import tensorflow_datasets as tfds

try:
  tfds.builder_cls('cifar10_1').url_infos
except ModuleNotFoundError as error:
  print(error)
  if error.name == 'importlib_resources':
    sys.exit(0)
print('it is otherwise now')
sys.exit(1)
END
