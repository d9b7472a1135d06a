"""The report: complete, offline, and honest about what it averages."""

import csv
import html.parser
import json
import pathlib

import cv2
import numpy as np
import pytest

from evals import report_data, report_page

MODEL = {'name': 'mae', 'frames': 4, 'height': 16, 'width': 24}


def _picture(path, panels=3, clips=2):
  path.parent.mkdir(parents=True, exist_ok=True)
  height = clips * (panels * MODEL['height'] + 4)
  width = MODEL['frames'] * (MODEL['width'] + 4)
  assert cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))


def _readout(run, seed, random_init, abs_rel):
  folder = run / 'readouts' / f'depth-{random_init}-{seed}'
  _picture(folder / 'pictures' / 'depth.png')
  scores = {'abs_rel': abs_rel, 'delta1': 1 - abs_rel}
  result = {
    'task': 'depth',
    'headline': list(scores),
    'source': 'world',
    'metrics': {
      name: {'value': x, 'low': x - 0.01, 'high': x + 0.02}
      for name, x in scores.items()
    },
    'steps': 50,
    'seed': seed,
    'random_init': random_init,
    'config': {'model': MODEL},
  }
  (folder / 'result.json').write_text(json.dumps(result))


@pytest.fixture
def run(tmp_path):
  """A run with a reconstruction, a loss, and readouts of two seeds."""
  folder = tmp_path / 'first <run>'
  folder.mkdir()
  config = {
    'steps': 20,
    'model': MODEL,
    'data': {'batch_size': 8, 'sources': {'world': {}}},
  }
  (folder / 'config.json').write_text(json.dumps(config))
  lines = [{'step': s, 'train/loss': 1 / s} for s in (5, 10, 15, 20)]
  lines += [{'step': s, 'eval/loss': 2 / s} for s in (10, 20)]
  text = '\n'.join(map(json.dumps, lines))
  # A run that is being written to can have half a line at the end.
  (folder / 'metrics.jsonl').write_text(text + '\n{"step": 2')
  for step in (9, 10):
    _picture(folder / 'pictures' / str(step) / 'reconstruction.png')
  for seed, ours, base in ((0, 0.2, 0.4), (1, 0.3, 0.4)):
    _readout(folder, seed, False, ours)
    _readout(folder, seed, True, base)
  return folder


def _write(run, out):
  return pathlib.Path(report_page.write([str(run)], str(out))).read_text()


def _csv(path):
  return list(csv.DictReader(path.read_text().splitlines()))


class _Links(html.parser.HTMLParser):
  def __init__(self):
    super().__init__()
    self.links, self.tags = [], set()

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    self.links += [value for name, value in attrs if name in ('src', 'href')]


def test_no_asset_is_missing_and_none_is_from_the_network(run, tmp_path):
  out = tmp_path / 'report'
  text = _write(run, out)
  found = _Links()
  found.feed(text)
  local = [link for link in found.links if link != 'data:,']
  assert len(local) == 7
  for link in local:
    assert (out / link).stat().st_size > 0, link
  assert 'http' not in text
  assert 'script' not in found.tags
  assert 'first &lt;run&gt;' in text
  assert '<run>' not in text
  # Every panel of both clips of every sheet is labelled.
  assert text.count('<li>reconstructed</li>') == 2
  assert text.count('<li>predicted</li>') == 4


def test_figures_are_means_over_seeds_and_csv_has_each(run, tmp_path):
  out = tmp_path / 'report'
  text = _write(run, out)
  assert '0.2500 &plusmn; 0.0707<small>[0.2400, 0.2700]</small>' in text
  assert '38% lower' in text
  assert '2 of 2' in text
  lines = _csv(out / 'readouts.csv')
  assert len(lines) == 2 * 2 * 2
  assert [line['value'] for line in lines if line['metric'] == 'abs_rel'] == [
    '0.2', '0.3', '0.4', '0.4',
  ]  # fmt: skip
  loss = _csv(out / 'first-run--loss.csv')
  assert [line['step'] for line in loss] == ['5', '10', '15', '20']
  assert loss[1] == {'step': '10', 'train/loss': '0.1', 'eval/loss': '0.2'}


def test_pictures_are_of_the_last_step(run):
  pictures = report_data.run(str(run)).pictures
  assert pictures['reconstruction'].endswith('pictures/10/reconstruction.png')


def test_a_run_without_readouts_or_pictures_has_a_page_too(tmp_path):
  run = tmp_path / 'new'
  run.mkdir()
  config = {
    'steps': 20,
    'model': {'name': 'moog'},
    'data': {'batch_size': 8, 'sources': {'a': {}}},
  }
  (run / 'config.json').write_text(json.dumps(config))
  text = _write(run, tmp_path / 'out')
  assert 'None is finished yet' in text


def test_clear_errors(run, tmp_path):
  with pytest.raises(ValueError, match='is not a run: it has no config'):
    report_page.write([str(tmp_path)], str(tmp_path / 'out'))
  with pytest.raises(ValueError, match='must have different names'):
    report_page.write([str(run), str(run)], str(tmp_path / 'out'))
