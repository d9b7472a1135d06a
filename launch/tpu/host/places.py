"""Where things lie on a host, and small files there."""

import json
import os
import pathlib

CODE = pathlib.Path(__file__).resolve().parents[3]
HOME = CODE.parent  # of the launch
_LINE = 160  # letters of a log's last line that are told


def job():
  """What to run: see `launch/tpu/code.py`."""
  return json.loads((CODE / '.launch' / 'job.json').read_text())


def attempt(number):
  """Folder of an attempt."""
  return HOME / 'attempts' / str(number)


def address():
  """That by which the launcher knows this host: where its ssh came in."""
  known = os.environ.get('SCALE4D_ADDRESS')
  return known or os.environ.get('SSH_CONNECTION', '- - -').split()[2]


def read(path):
  """What a file of JSON holds; {} where there is none."""
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError):
    return {}


def write(path, text):
  """Writes a file, whole or not at all."""
  draft = path.with_name(f'.{path.name}-{os.getpid()}')
  draft.write_text(text)
  draft.replace(path)


def last_line(path):
  """Of a log, the last line that says something."""
  try:
    with open(path, 'rb') as file:
      file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
      lines = file.read().decode('utf-8', 'replace').replace('\r', '\n')
  except OSError:
    return ''
  said = [line.strip() for line in lines.split('\n') if line.strip()]
  return said[-1][:_LINE] if said else ''
