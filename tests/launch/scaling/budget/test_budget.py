import itertools

import numpy as np
import pytest

from launch.scaling.budget import choice, told
from launch.scaling.budget import law as law_lib
from launch.scaling.budget.choice import Planned
from launch.scaling.budget.law import Law, Run

LAW = Law(0.3, 0.1, 0.05, (0.4, 0.3), (1e5, 1e4))
SIZES, CLIPS = (1e4, 1e5, 1e6), (1e3, 1e4, 1e5)


def runs(deviation=0.0, seeds=2):
  rng = np.random.default_rng(0)
  return [
    Run(n, d, tuple(LAW.at(n, d) + rng.normal(0, deviation, seeds)))
    for n, d in itertools.product(SIZES, CLIPS)
  ]


def test_a_law_is_found_again():
  found = law_lib.fit(runs())
  for n, d in ((3e4, 3e3), (1e7, 1e6)):
    assert found.at(n, d) == pytest.approx(LAW.at(n, d), rel=0.01)
  assert found.at(1e9, 1e9) < found.at(1e6, 1e9) < found.at(1e6, 1e5)


def test_what_cannot_tell_size_from_length_is_refused():
  with pytest.raises(ValueError, match='needs 5 runs or more, of three sizes'):
    law_lib.fit([run for run in runs() if run.clips == 1e4])
  with pytest.raises(ValueError, match='train two seeds'):
    law_lib.draws(runs(seeds=1), 3)


def test_laws_that_are_drawn_differ_as_seeds_do():
  far = [law.at(1e7, 1e6) for law in law_lib.draws(runs(0.01), 20)]
  near = [law.at(1e7, 1e6) for law in law_lib.draws(runs(0.001), 20)]
  assert np.std(far) > 3 * np.std(near) > 0


def planned(size, parameters, step_sec, batch=100):
  mesh = '2 x 32 x 1'
  return Planned(size, 'v5p:4x4x4', mesh, batch, step_sec, parameters)


def test_chip_hours_are_steps_of_a_slice():
  ladder = [planned('B', 1e6, 0.1), planned('L', 1e7, 0.4)]
  first, second = choice.choices(ladder, 640, LAW, [LAW, LAW])
  # 64 chips: ten hours.
  found = {x.planned.size: x for x in (first, second)}
  assert found['B'].steps == 360_000
  assert found['L'].steps == 90_000
  assert found['B'].days == pytest.approx(10 / 24)
  assert first.loss < second.loss
  assert first.wins == 1.0
  assert found['L'].loss == LAW.at(1e7, 90_000 * 100)


def test_the_band_and_the_wins_are_those_of_the_laws_that_were_drawn():
  ladder = [planned('B', 1e6, 0.1), planned('L', 1e7, 0.4)]
  by_size = Law(0.3, 5.0, 0.0, (0.4, 0.3), (1e5, 1e4))
  by_clips = Law(0.3, 0.0, 5.0, (0.4, 0.3), (1e5, 1e4))
  made = choice.choices(ladder, 640, by_size, [by_size, by_size, by_clips])
  found = {x.planned.size: x for x in made}
  assert found['L'].wins == pytest.approx(2 / 3)
  assert found['B'].wins == pytest.approx(1 / 3)
  assert all(x.low < x.high for x in made)


def test_too_little_is_told():
  with pytest.raises(ValueError, match='1 chip-hours are fewer than 10,000'):
    choice.choices([planned('B', 1e6, 0.1)], 1, LAW, [LAW])


def test_rows_are_those_of_the_ladder_as_it_is_written_down():
  rows = told.ladder('docs/pods.md', 'v5p')
  assert [row.size for row in rows][:3] == ['H', 'G', 'e']
  (e,) = [row for row in rows if row.size == 'e']
  assert (e.slice, e.batch, e.mesh) == ('v5p:4x4x4', 4096, '2 x 32 x 1')
  assert 0.1 < e.step_sec < 1
  assert e.parameters == pytest.approx(3.8e9, rel=0.01)


@pytest.mark.parametrize(
  ('path', 'generation', 'says'),
  [
    ('docs/pods.md', 'v7p', 'expected one of v4, v5e, v6e, v5p'),
    ('docs/none.md', 'v5p', 'is no file'),
    ('docs/data.md', 'v5p', 'expected the lines'),
  ],
)
def test_what_is_no_ladder_is_refused(path, generation, says):
  with pytest.raises(ValueError, match=says):
    told.ladder(path, generation)


def test_what_is_extrapolated_is_marked_and_what_was_published_is_beside():
  (made,) = choice.choices([planned('e', 3.8e9, 0.4)], 640, LAW, [LAW])
  (line,) = told.lines([made], runs())
  assert line['beyond what was run'] == '3,800 x the parameters, 90 x the clips'
  words = told.words(made, runs())
  assert 'EXTRAPOLATED (3,800 x the parameters' in words
  assert 'ScanNet AbsRel 0.094' in words
