"""The report: complete, offline, and honest about what it averages."""

import csv
import html.parser
import json
import os
import re

import cv2
import numpy as np
import pytest

from evals.report import page, pictures, reading, sections


def _csv(path):
  return list(csv.DictReader(path.read_text().splitlines()))


class _Links(html.parser.HTMLParser):
  def __init__(self, path):
    super().__init__()
    self.links, self.tags = set(), set()
    self.feed(path.read_text())

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    self.links |= {x for name, x in attrs if name in ('src', 'href', 'srcset')}


def test_no_asset_is_missing_and_none_is_from_the_network(report):
  found = _Links(report / 'index.html')
  local = found.links - {'data:,'}
  for link in local:
    assert (report / link).stat().st_size > 0, link
  beside = {path.name for path in report.iterdir()}
  # Nothing is left from writing, and all that is there can be reached.
  # The lock of who writes stays.
  assert beside == local | {'index.html', 'depth-colours.png', '.lock'}
  text = (report / 'index.html').read_text()
  assert 'http' not in text
  assert 'script' not in found.tags
  assert 'small &lt;run&gt;' in text
  assert '<run>' not in text


def test_every_figure_is_a_picture_as_wide_as_the_page(report):
  names = ['scaling', 'depth-world', 'boxes-world', 'small-run--steps']
  for name in (*names, 'small-run--loss', 'large-loss'):
    assert cv2.imread(str(report / f'{name}.png')).shape[1] > 1500, name


def test_numbers_are_means_over_seeds_and_csv_has_each(report):
  lines = _csv(report / 'readouts.csv')
  depth = [
    line
    for line in lines
    if (line['metric'], line['task']) == ('abs_rel', 'depth')
    and line['model'] == 'small <run>'
  ]
  # Two seeds at three checkpoints, two of random init, two fine-tuned.
  assert len(depth) == 6 + 2 + 2
  assert {line['unit'] for line in depth} == {''}
  assert {line['better'] for line in depth} == {'lower'}
  frozen = [
    float(line['value'])
    for line in depth
    if (line['backbone'], line['checkpoint']) == ('pretrained, frozen', '20')
  ]
  mean, std = np.mean(frozen), np.std(frozen, ddof=1)
  text = (report / 'index.html').read_text()
  assert f'{mean:.4f} &plusmn; {std:.4f}<small>[{mean - 0.01:.4f}, ' in text
  (line,) = [
    line
    for line in _csv(report / 'means.csv')
    if line['metric'] == 'abs_rel'
    and line['model'] == 'small <run>'
    and (line['backbone'], line['checkpoint']) == ('pretrained, frozen', '20')
  ]
  assert int(line['seeds']) == 2
  np.testing.assert_allclose(float(line['value']), mean)
  rmse = next(line for line in lines if line['metric'] == 'rmse')
  assert (rmse['unit'], rmse['better']) == ('m', 'lower')
  loss = _csv(report / 'small-run--loss.csv')
  assert [line['step'] for line in loss] == ['5', '10', '15', '20']
  assert loss[1] == {'step': '10', 'train/loss': '0.1', 'eval/loss': '0.2'}


def test_pretrained_is_compared_with_random_init_in_words(report):
  text = (report / 'index.html').read_text()
  (line,) = [
    line
    for line in _csv(report / 'differences.csv')
    if (line['model'], line['metric']) == ('small <run>', 'abs_rel')
    and (line['backbone'], line['checkpoint']) == ('pretrained, frozen', '20')
  ]
  assert (line['seeds'], line['seeds_better']) == ('2', '2')
  value, low, high = (float(line[x]) for x in ('difference', 'low', 'high'))
  assert low < value < high < 0
  says = [f'&minus;{abs(x):.4f}' for x in (value, low, high)]
  assert (
    'better than random init on <b>2 of 2</b> seeds, difference in AbsRel '
    f'<b>{says[0]} [{says[1]}, {says[2]}]</b>'
  ) in text
  assert 'wins 1 of 1 seed<' in text  # of the larger one, whose tiles they are
  # No random init of the larger one was fine-tuned, and that is said.
  assert 'compare with: large (pretrained, fine-tuned)' in text
  # Only the last checkpoint is in the tables.
  assert text.count('<b>2 of 2</b>') == 5  # a task each


def _overview(out):
  """The lines of the first table of the page, as cells of text."""
  text = (out / 'index.html').read_text().split('</table>')[0]
  cells = [re.findall(r'<td>(.*?)</td>', x) for x in text.split('<tr>')[2:]]
  return [
    [re.sub('<small>', ' ', re.sub('</.*?>', '', x)) for x in line]
    for line in cells
  ]


def test_one_table_has_all_tasks_beside_their_baselines(report):
  lines = _overview(report)
  # Small and large, frozen and fine-tuned.
  assert len(lines) == 5 * 4
  means = {
    (x['model'], x['backbone']): f'{float(x["value"]):.4f}'
    for x in _csv(report / 'means.csv')
    if x['metric'] == 'abs_rel' and x['checkpoint'] in ('20', '')
  }
  (found,) = [
    x
    for x in _csv(report / 'differences.csv')
    if (x['model'], x['metric']) == ('large', 'abs_rel')
  ]
  ends = [
    f'&minus;{-float(found[x]):.4f}' for x in ('difference', 'low', 'high')
  ]
  says = f'{ends[0]} [{ends[1]}, {ends[2]}] better'
  depth = [x[1:] for x in lines if x[0] == 'Depth on world AbsRel ↓']
  assert depth[2] == [
    *('large frozen', means['large', 'pretrained, frozen']),
    *(means['large', 'random init, frozen'], '0.5000', says, '1 of 1'),
  ]
  assert depth[3] == [
    'large fine-tuned &times; 0.1',
    *(means['large', 'pretrained, fine-tuned'], 'not run', '0.5000', '', ''),
  ]


def test_the_table_tells_what_was_not_run_or_cannot_be_compared(make, tmp_path):
  run, out = make.run('run'), tmp_path / 'out'
  make.job(run, 'a', tasks=('depth', 'boxes'), error=0.2)
  make.job(run, 'b', tasks=('depth',), error=0.4, random_init=True, seed=1)
  make.job(run, 'c', tasks=('pose',), error=0.4, random_init=True)
  _, summary = page.write([str(run)], str(out))
  lines = {line[0]: line[2:] for line in _overview(out)}
  depth, pose, boxes, *rest = lines
  assert depth == 'Depth on world AbsRel ↓'
  assert rest == ['Action', 'Point tracks']
  assert lines[depth][3:] == ['not the same seeds and clips', '']
  assert lines[pose][0] == lines[boxes][1] == 'not run'
  assert lines['Action'] == ['not run', 'not run', 'not run', '', '']
  assert summary == ''


def test_the_terminal_has_the_last_checkpoint_only(make, tmp_path):
  run = make.run('run')
  for step, error in ((5, 0.3), (20, 0.2)):
    make.job(run, str(step), step=step, error=error, tasks=('boxes',))
  make.job(run, 'random', error=0.4, tasks=('boxes',), random_init=True)
  _, summary = page.write([str(run)], str(tmp_path / 'out'))
  (line,) = [x for x in summary.splitlines() if ' Mean IoU (' in x]
  means = _csv(tmp_path / 'out' / 'means.csv')
  found = {x['checkpoint']: x['value'] for x in means if x['metric'] == 'iou'}
  assert f' {float(found["20"]):.4f} ' in line


def test_all_learning_rates_are_told(report):
  lines = [
    line
    for line in _csv(report / 'learning-rates.csv')
    if (line['model'], line['metric']) == ('large', 'abs_rel')
    and line['backbone'] == 'pretrained, frozen'
  ]
  assert [(x['lr'], x['split'], x['chosen']) for x in lines] == [
    ('0.01', 'validation', 'True'),
    ('0.01', 'test', 'True'),
    ('0.1', 'validation', 'False'),
    ('0.1', 'test', 'False'),
  ]
  text = (report / 'index.html').read_text()
  assert text.count('All learning rates') == 5
  assert text.count('<summary>All scores') == 5


def test_published_results_are_labelled_as_such(report):
  text = (report / 'index.html').read_text()
  assert '4DS\npublished (arXiv 2412.15212)' in text
  lines = _csv(report / 'published.csv')
  assert len(lines) == 5 * 7
  assert lines[0] | {'task': 'classify'} == {
    **{'task': 'classify', 'benchmark': 'SSv2', 'metric': 'top1', 'size': 'S'},
    **{'parameters': '22485888', 'frozen': '0.408', 'fine-tuned': '0.403'},
  }


def test_clips_of_a_sheet_move_side_by_side(make, tmp_path):
  model = {'frames': 4, 'height': 16, 'width': 24}
  known = (('depth', 3, 1), ('boxes', 2, 2), ('attention', 4, 1))
  for name, panels, zoom in known:
    sheet = tmp_path / f'{name}-sheet.png'
    make.picture(sheet, panels, zoom)
    text = pictures.figure(name, str(sheet), model, 'a', str(tmp_path))
    assert text.count('<li>') == panels
    moving = cv2.imreadanimation(str(tmp_path / f'a-{name}-moving.webp'))[1]
    assert len(moving.frames) == 4
    for number, frame in enumerate(moving.frames):
      height, width = frame.shape[:2]
      middle = frame[height // 2, [width // 4, 3 * width // 4], 0].astype(int)
      # Lossy, but no other frame or clip.
      np.testing.assert_allclose(
        middle, [40 * number, 40 * number + 10], atol=3
      )
    still = (tmp_path / f'a-{name}.png').read_bytes()
    assert still == sheet.read_bytes()


def test_a_sheet_of_another_layout_is_shown_as_it_is(make, tmp_path):
  sheet = tmp_path / 'sheet.png'
  make.picture(sheet, 3)
  for name, model in (
    ('unheard-of', {'frames': 4, 'height': 16, 'width': 24}),
    ('depth', {'frames': 3, 'height': 16, 'width': 24}),
    ('depth', {'frames': 4, 'height': 18, 'width': 24}),
  ):
    text = pictures.figure(name, str(sheet), model, 'b', str(tmp_path))
    assert 'webp' not in text
    assert f'<img src="b-{name}.png"' in text


def test_what_is_not_shown_is_named(make, tmp_path):
  run = make.run('run')
  make.job(run, 'all', tasks=('depth',))
  make.job(run, 'again', tasks=('depth',))
  begun = run / 'readouts' / 'begun'
  begun.mkdir()
  (begun / 'config.json').write_text('{}')
  failed = run / 'readouts' / '7'
  failed.mkdir()
  errors = {'tasks': ['pose'], 'failed': {'pose': 'no <labels>'}}
  (failed / 'errors.json').write_text(json.dumps(errors))
  page.write([str(run)], str(tmp_path / 'out'))
  text = (tmp_path / 'out' / 'index.html').read_text()
  for line in (f'{begun}', f'{failed}, pose: no &lt;labels&gt;', f'{run}/rea'):
    assert f'<li>{line}' in text
  assert 'not counted' in text
  assert 'Without a random init' in text
  # There is one point then, and nothing to compare.
  assert (tmp_path / 'out' / 'scaling.png').exists()
  assert not (tmp_path / 'out' / 'differences.csv').exists()


@pytest.mark.parametrize(
  ('name', 'content', 'lost'),
  [
    ('readouts/all/result.json', b'{"tasks": {"depth"', 'job'),
    ('readouts/all/result.json', b'{"tasks": {"depth": {}}}', 'job'),
    ('readouts/all/result.json', b'7', 'job'),
    ('readouts/all/clips.npz', b'', 'pair'),
    ('readouts/all/clips.npz', b'PK\x03\x04 cut', 'pair'),
    ('readouts/all/clips.npz', None, 'pair'),
    ('readouts/5/errors.json', b'{"tasks": []}', ''),
    ('readouts/all/pictures/depth.png', b'\x89PNG\r\n', 'picture'),
    ('goodput.json', b'{"began": 1', ''),
    (
      'metrics.jsonl',
      b'{"step": 5, "train/loss": 1.0}\n\xff\x00\n[1]\n%b\n%b\n'
      % (b'[' * 10**5, b'{"step": 1e999, "train/loss": 1.0}'),
      '',
    ),
  ],
)
def test_one_damaged_file_takes_nothing_else_with_it(
  make, tmp_path, capsys, name, content, lost
):
  run = make.run('run')
  make.job(run, 'all', tasks=('depth',))
  make.job(run, 'random', tasks=('depth',), error=0.4, random_init=True)
  make.job(run, 'another', tasks=('pose',))
  (run / 'readouts/5').mkdir()
  if content is None:
    (run / name).unlink()
  else:
    (run / name).write_bytes(content)
  page.write([str(run)], str(tmp_path / 'out'))
  text = (tmp_path / 'out' / 'index.html').read_text()
  assert str(run / name) in text
  if lost != 'picture':
    said = capsys.readouterr().out
    assert f'{run / name}' in said
    assert said.count('not shown: ') == 1
  jobs = {line['job'] for line in _csv(tmp_path / 'out/readouts.csv')}
  names = {'random', 'another'} | ({'all'} if lost != 'job' else set())
  assert jobs == {f'{run}/readouts/{name}' for name in names}
  paired = (tmp_path / 'out/differences.csv').exists()
  assert paired == (lost not in ('job', 'pair'))
  losses = _csv(tmp_path / 'out/run-loss.csv')
  assert len(losses) == (1 if name == 'metrics.jsonl' else 4)


def test_a_run_whose_config_is_damaged_has_no_page(make, tmp_path):
  run = make.run('run')
  for text, match in (
    ('', r'config\.json is empty: it is damaged; put a copy back'),
    ('{"model": {}}', r'config\.json lacks steps'),
    ('{"tasks": {}, "backbone": 3}', r'backbone holds a int, expected a dict'),
  ):
    (run / 'config.json').write_text(text)
    with pytest.raises(ValueError, match=match):
      page.write([str(run)], str(tmp_path / 'out'))
  assert not (tmp_path / 'out').exists()


def test_it_says_which_videos_a_model_was_trained_on(make, tmp_path):
  """Their label is 'train', whatever they are."""
  run = make.run('run')
  config = json.loads((run / 'config.json').read_text())
  videos = {'name': 'videos', 'path': 'data/my <clips>'}
  config['data']['sources'] = {'train': videos, 'b': {'name': 'world'}}
  (run / 'config.json').write_text(json.dumps(config))
  page.write([str(run)], str(tmp_path / 'out'))
  text = (tmp_path / 'out' / 'index.html').read_text()
  assert 'data <i>videos in data/my &lt;clips&gt;, world</i>' in text


def test_killed_while_writing_the_last_page_stays_whole(
  make, tmp_path, monkeypatch
):
  run, out = make.run('run'), tmp_path / 'out'
  make.job(run, 'all', tasks=('depth',))
  page.write([str(run)], str(out))
  before = (out / 'index.html').read_text()
  make.job(run, 'random', tasks=('depth',), error=0.4, random_init=True)

  def killed(*unused):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(sections, 'pretraining', killed)
    with pytest.raises(KeyboardInterrupt):
      page.write([str(run)], str(out))
  assert (out / 'index.html').read_text() == before
  page.write([str(run)], str(out))
  page.write([str(run)], str(tmp_path / 'fresh'))
  text = (out / 'index.html').read_text()
  assert text != before
  fresh = (tmp_path / 'fresh' / 'index.html').read_text()
  assert text.replace(str(out), '') == fresh.replace(
    str(tmp_path / 'fresh'), ''
  )
  for path in out.glob('*.csv'):
    assert path.read_text() == (tmp_path / 'fresh' / path.name).read_text()


def test_a_run_without_readouts_or_pictures_has_a_page_too(tmp_path):
  run = tmp_path / 'new'
  run.mkdir()
  config = {
    'steps': 20,
    'model': {'name': 'moog'},
    'data': {'batch_size': 8, 'sources': {'a': {'name': 'a'}}},
  }
  (run / 'config.json').write_text(json.dumps(config))
  page.write([str(run)], str(tmp_path / 'out'))
  text = (tmp_path / 'out' / 'index.html').read_text()
  assert 'None is finished yet' in text


def test_it_says_where_the_time_of_a_run_went(make, tmp_path):
  page.write([str(make.run('run'))], str(tmp_path / 'out'))
  text = (tmp_path / 'out/index.html').read_text()
  assert 'goodput 60.0% of 1m40s: 3 starts, 20 steps, 7 of them trained' in text
  assert '<td>WASTED_PROGRESS_FROM_DISRUPTION</td><td>21.0</td>' in text
  lines = _csv(tmp_path / 'out/run-goodput.csv')
  found = {line['bucket']: float(line['seconds']) for line in lines}
  assert found['TPU_INITIALIZATION'] == 12.0
  assert sum(found.values()) == 100.0


def test_runs_of_the_same_name_are_told_apart_by_their_parents(make, tmp_path):
  runs = [
    make.run(x, dim=8 * (1 + k)) for k, x in enumerate(('a/run', 'b/run'))
  ]
  for run, error in zip(runs, (0.2, 0.3)):
    make.job(run, 'all', tasks=('depth',), error=error)
  page.write([str(run) for run in runs], str(tmp_path / 'out'))
  lines = _csv(tmp_path / 'out' / 'means.csv')
  assert {line['model'] for line in lines} == {'a/run', 'b/run'}
  losses = {path.name for path in (tmp_path / 'out').glob('*-loss.csv')}
  assert losses == {'a-run-loss.csv', 'b-run-loss.csv'}
  text = (tmp_path / 'out' / 'index.html').read_text()
  for line in (
    'Pretraining of a/run',
    'Pretraining of b/run',
    'b-run-loss.png',
  ):
    assert line in text


def test_only_names_that_clash_get_longer(make):
  names = ('1/x/run', '2/x/run', 'y/run', 'other')
  paths = [str(make.run(name)) for name in names]
  assert [run.name for run in reading.runs(paths)] == list(names)
  # A trailing slash and the way to a folder change nothing.
  (run,) = reading.runs([f'{make.folder}/other/../y/run/'])
  assert run.name == 'run'


def test_clear_errors(make, tmp_path):
  run, out = make.run('run'), str(tmp_path / 'out')
  with pytest.raises(ValueError, match='is not a run: it has no config'):
    page.write([str(tmp_path)], out)
  with pytest.raises(ValueError, match='are the same run: give it once'):
    page.write([str(run), f'{run}/'], out)
  for begun in (False, True):
    job = make.job(run, f'job-{begun}')
    if begun:
      (job / 'result.json').unlink()
    with pytest.raises(ValueError, match=f'is a readout job.*Give {run}, '):
      page.write([str(job)], out)
  paths = [str(make.run(name)) for name in ('a b', 'a-b')]
  with pytest.raises(ValueError, match='differ in letters or digits'):
    page.write(paths, out)  # their files would have the same names
  assert not os.path.exists(out)
