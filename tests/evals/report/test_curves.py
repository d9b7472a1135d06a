"""The scaling figure: which panels, lines and words it has."""

import json

import numpy as np
from matplotlib.colors import same_color

from evals.report import curves, grouping, naming, page, reading
from evals.report.plots import KINDS


def _scaling(tmp_path, *runs):
  """Panels by their title, the axes of the legend, the rows."""
  models = grouping.models([reading.run(str(run)) for run in runs])
  rows = grouping.last(grouping.rows(models))
  figure = curves.scaling(rows, str(tmp_path / 'scaling.png'))
  panels = {x.get_title('left'): x for x in figure.axes if x.axison}
  (corner,) = [x for x in figure.axes if x.get_legend()]
  return panels, corner.get_legend(), rows


def _words(axes):
  return '\n'.join(text.get_text() for text in axes.texts)


def _lines(axes, colour):
  """Solid or dashed lines of a colour, with x and y."""
  return [
    line
    for line in axes.lines
    if same_color(line.get_color(), colour)
    and line.get_linestyle() in ('-', '--')
  ]


def test_all_five_tasks_have_ours_and_the_published_curves(family, tmp_path):
  panels, _, rows = _scaling(tmp_path, *family)
  assert list(panels) == [
    'Action on world',
    'Depth on world',
    'Camera pose on world',
    'Point tracks on world',
    'Object boxes on world',
  ]
  for axes, (task, published) in zip(panels.values(), naming.PUBLISHED.items()):
    assert f'grey: published 4DS on {published.benchmark}' in _words(axes)
    assert naming.metric(published.metric).label in _words(axes)
    assert 'not run' not in _words(axes)
    frozen, tuned = _lines(axes, curves.PUBLISHED)
    for line, dashes, values in (
      (frozen, '-', published.frozen),
      (tuned, '--', published.finetuned),
    ):
      assert line.get_linestyle() == dashes
      np.testing.assert_array_equal(line.get_xdata(), naming.parameters())
      np.testing.assert_array_equal(line.get_ydata(), values)
    for kind in ('frozen', 'fine-tuned', 'random'):
      mine = [x for x in rows if (x.task, x.kind) == (task, kind)]
      (line,) = [
        line
        for line in _lines(axes, KINDS[kind][0])
        if line.get_marker() == KINDS[kind][1]
      ]
      small, large = line.get_xdata()
      assert small < large
      np.testing.assert_array_equal(
        line.get_ydata(),
        [row.score(published.metric)['value'] for row in mine],
      )


def test_frozen_and_fine_tuned_are_told_apart_without_colours(family, tmp_path):
  _, legend, _ = _scaling(tmp_path, *family)
  labels = [text.get_text() for text in legend.get_texts()]
  assert labels == [
    'pretrained, frozen',
    'pretrained, fine-tuned',
    'random init, frozen',
    'random init, fine-tuned',
    'trivial predictor',
    'published 4DS, frozen',
    'published 4DS, fine-tuned',
  ]
  looks = {
    (
      handle.get_marker(),
      handle.get_linestyle(),
      handle.get_markerfacecolor() == 'white',
    )
    for label, handle in zip(labels, legend.legend_handles)
    if label != 'trivial predictor'  # dots
  }
  assert len(looks) == len(labels) - 1
  for label, handle in zip(labels, legend.legend_handles):
    if 'frozen' in label or 'fine-tuned' in label:
      dashes = '-' if 'frozen' in label else '--'
      assert handle.get_linestyle() == dashes, label


def test_a_task_without_results_is_there_and_says_so(make, tmp_path):
  run = make.run('run')
  make.job(run, 'all', tasks=('depth',))
  panels, legend, _ = _scaling(tmp_path, run)
  assert list(panels) == [
    'Action',
    'Depth on world',
    'Camera pose',
    'Point tracks',
    'Object boxes',
  ]
  sizes = {axes.get_xlim() for axes in panels.values()}
  assert len(sizes) == 1  # so that panels can be compared
  for title, axes in panels.items():
    assert ('not run' in _words(axes)) == (title != 'Depth on world')
    assert len(_lines(axes, curves.PUBLISHED)) == 2
  assert len(panels['Action'].lines) == 2  # no trivial predictor either
  labels = [text.get_text() for text in legend.get_texts()]
  assert 'pretrained, frozen' in labels
  assert 'pretrained, fine-tuned' not in labels


def test_a_task_on_two_sources_has_a_panel_of_each(make, tmp_path):
  run = make.run('run')
  make.job(run, 'a', tasks=('points',))
  make.job(run, 'b', tasks=('points',), source='davis')
  panels, _, _ = _scaling(tmp_path, run)
  assert len(panels) == 6
  assert {'Point tracks on world', 'Point tracks on davis'} <= set(panels)


def test_sizes_are_plain_numbers_on_a_logarithmic_axis(make, tmp_path):
  run = make.run('run', dim=192, depth=6, mlp=768, heads=3)
  make.job(run, 'all', tasks=('depth',))
  panels, _, (row,) = _scaling(tmp_path, run)
  for axes in panels.values():
    assert axes.get_xscale() == 'log'
    low, high = axes.get_xlim()
    assert low < row.model.parameters < max(naming.parameters()) < high
    shown = [
      label.get_text()
      for at, label in zip(axes.get_xticks(), axes.get_xticklabels())
      if low <= at <= high
    ]
    assert shown == ['10M', '100M', '1B', '10B']


def test_a_curve_over_depths_takes_the_best_head_of_each_on_validation(
  make, tmp_path
):
  run = make.run('run')
  make.job(run, 'job', tasks=('depth',), lrs=(0.1, 0.2, 0.3))
  path = run / 'readouts/job/result.json'
  result = json.loads(path.read_text())
  (found,) = result['tasks'].values()
  # Of depth 0.5 the second is better on validation, and worse on test clips.
  for head, depth, validation, test in zip(
    found['heads'], (0.5, 0.5, 0.9), (0.4, 0.3, 0.2), (0.5, 0.6, 0.1)
  ):
    head['depth'] = depth
    head['validation']['abs_rel'], head['test']['abs_rel'] = validation, test
  found['head'] = 2
  path.write_text(json.dumps(result))
  (row,) = grouping.rows(grouping.models(reading.runs([str(run)])))
  assert grouping.of_several_depths([row]) == [row]
  assert grouping.of_depths(row) == {0.5: 0.6, 0.9: 0.1}
  drawn = curves.depths([row], str(tmp_path / 'depths.png'))
  curve, ring, *_ = drawn.axes[0].lines
  assert curve.get_xydata().tolist() == [[0.5, 0.6], [0.9, 0.1]]
  assert ring.get_xydata().tolist() == [[0.9, 0.1]]
  page.write([str(run)], str(tmp_path / 'out'))
  assert 'knows what' in (tmp_path / 'out/index.html').read_text()


def test_readouts_of_one_depth_have_no_curve_over_it(make):
  run = make.run('run')
  make.job(run, 'job', tasks=('depth',), lrs=(0.1, 0.2))
  (row,) = grouping.rows(grouping.models(reading.runs([str(run)])))
  assert grouping.of_several_depths([row]) == []
