"""Ingestion: any folder in, complete and repeatable data out."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgpack
import pytest

from base import exits, files
from data.formats import record, shards
from data.ingest import beam, pool, steps
from data.ingest import folder as ingest
from data.ingest.recipe import Recipe
from data.sources import videos
from tests.data import recipes

OPTIONS = {'min_frames': 16, 'chunk_frames': 32, 'overlap_frames': 16}
RECIPE = Recipe(**OPTIONS)


def run(videos, out, *, recipe=RECIPE, workers=0, **options):
  return ingest.ingest(str(videos), out, recipe, workers=workers, **options)


def contents(out: Path) -> dict[str, bytes]:
  """Every file but the plan, which has absolute paths."""
  return {
    path.name: path.read_bytes()
    for path in out.iterdir()
    if path.is_file() and path.name != steps.PLAN
  }


def refused(out: Path) -> dict[str, str]:
  lines = (out / shards.QUARANTINE).read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  return {row['file']: row['reason'] for row in rows}


def named(out: Path) -> list[tuple[str, int]]:
  """(video, first frame) of every record, in order."""
  folder = shards.open_shards(out)
  found = [
    record.parse(folder.read(row)) for row in range(len(folder.index['frames']))
  ]
  return [(each.name, each.start) for each in found]


@pytest.fixture(scope='module')
def whole(footage, tmp_path_factory):
  """The footage, ingested in one go."""
  out = tmp_path_factory.mktemp('whole') / 'data'
  run(footage / '**', out, per_shard=4)
  return out


def test_everything_is_kept_or_refused_with_a_reason(whole):
  assert named(whole) == [
    ('a.mp4', 0),
    ('a.mp4', 16),
    ('below/b.mkv', 0),
    ('c.avi', 0),
  ]
  assert refused(whole) == {
    'empty.mp4': 'empty file',
    'notes.txt': 'not a video: Invalid data found when processing input',
    'short.mp4': 'too short: 5 frames, fewer than 16',
  }
  manifest = shards.manifest(whole)
  assert (manifest['videos'], manifest['refused']) == (3, 3)
  assert (manifest['records'], manifest['frames']) == (4, 32 + 24 + 21 + 30)
  assert manifest['seconds'] == pytest.approx(4.0 + 2.1 + 3.0)
  assert manifest['bytes'] == sum(
    path.stat().st_size for path in whole.glob('*.array_record')
  )


def test_a_start_that_does_not_decode_is_counted(film, tmp_path, capsys):
  (tmp_path / 'in').mkdir()
  film.write(tmp_path / 'in' / 'a.mp4', film.texture(20))
  film.write_bad_start(tmp_path / 'in' / 'b.mp4')
  (tmp_path / 'in' / 'c.mp4').touch()
  out = tmp_path / 'data'
  manifest = run(tmp_path / 'in', out)
  said = capsys.readouterr().out
  reason = 'damaged: 0.8 s from 0 s on do not decode and are left out'
  assert f'b.mp4: {reason}; 3.2 s are kept' in said
  assert (manifest['seconds'], manifest['lost']) == (5.2, 0.8)
  assert (manifest['refused'], manifest['damaged']) == (1, 1)
  assert (manifest['told'], manifest['pictures']) == ({'damaged': 1}, {})
  assert refused(out) == {'c.mp4': 'empty file', 'b.mp4': reason}
  text = ingest.report(out, manifest)
  assert '0.8 s of 1 file damaged or missing' in text
  assert '  1 x empty file' in text
  assert '  1 video with damaged stretches, left out' in text


def test_the_end_of_a_run_says_what_was_done(film, tmp_path):
  (tmp_path / 'in').mkdir()
  mirror = (-1, 0, 0, 0, 1, 0, 64, 0, 1)
  times = [50 * i + 5000 * (i // 20) for i in range(60)]
  for name in 'ab':
    film.write(
      *(tmp_path / 'in' / f'{name}.mp4', film.texture(60)),
      times=times,
      matrix=mirror,
    )
  pq = (9, 16, 9)
  film.write(tmp_path / 'in' / 'c.mp4', film.texture(20), colours=pq)
  film.write(tmp_path / 'in' / 'd.mkv', film.texture(45), rate=45)
  out = tmp_path / 'data'
  manifest = run(tmp_path / 'in', out)
  told = {'paused': 2, 'mirrored': 2, 'hdr': 1, 'resampled': 1}
  assert manifest['told'] == told
  assert manifest['pictures'] == {'dropped': 15}
  text = ingest.report(out, manifest)
  for line in (
    '2 videos with pauses: records end there, and others begin',
    '2 videos mirrored by their display matrix',
    '1 video HDR (HLG or PQ), tone-mapped to SDR by the EETF of BT.2390',
    '15 pictures left out',
  ):
    assert line in text
  # Nothing is damaged or refused.
  assert refused(out) == {}


def test_a_folder_of_an_earlier_version_is_read_and_goes_on(
  film, tmp_path, monkeypatch
):
  """Its summaries tell of damage at the start alone."""
  (tmp_path / 'in').mkdir()
  film.write_bad_start(tmp_path / 'in' / 'a.mp4')
  out = tmp_path / 'data'
  new = run(tmp_path / 'in', out)
  summary = out / 'shard-00000.json'
  for key in ('told', 'pictures', 'gaps'):
    summary.write_text(_without(summary.read_text(), key))
  old = {key: new[key] for key in new if key not in ('told', 'pictures')}
  old['begun_late'] = old.pop('damaged')
  (out / shards.MANIFEST).write_text(json.dumps(old))
  described = shards.manifest(out)
  assert (described['damaged'], described['told']) == (1, {})
  assert len(shards.quarantine(out)[1]) == 1
  film.write(tmp_path / 'in' / 'b.mp4', film.texture(20))
  again = run(tmp_path / 'in', out)
  assert again['shards'][0] == new['shards'][0]
  assert (again['damaged'], again['told']) == (1, {'damaged': 1})


def test_a_second_run_says_done_and_changes_nothing(footage, whole, capsys):
  before = contents(whole)
  run(footage / '**', whole, per_shard=4)
  assert 'all 6 files are done' in capsys.readouterr().out
  assert contents(whole) == before


def test_a_folder_stands_for_all_below_it(footage, whole, tmp_path):
  assert run(footage, tmp_path / 'data', per_shard=4) == shards.manifest(whole)


@pytest.mark.parametrize('finished', [1, 5])
def test_interrupted_runs_end_the_same(
  footage, whole, tmp_path, monkeypatch, finished
):
  real, made = steps.make_part, []

  def stops(*arguments):
    if len(made) == finished:
      raise KeyboardInterrupt
    made.append(arguments[4])
    return real(*arguments)

  monkeypatch.setattr(steps, 'make_part', stops)
  with pytest.raises(KeyboardInterrupt):
    run(footage, tmp_path, per_shard=4)
  with pytest.raises(ValueError, match='ingestion has not finished'):
    shards.open_shards(tmp_path)
  finished = -1
  run(footage, tmp_path, per_shard=4)
  assert len(made) == len(set(made)) == 6  # nothing was done twice
  assert contents(tmp_path) == contents(whole)


@pytest.mark.parametrize('before', ['shard', 'summary', 'parts', 'last part'])
def test_a_joining_that_is_killed_can_be_done_again(
  footage, whole, tmp_path, monkeypatch, before
):
  """As Beam does with a step whose machine is lost, whenever that was."""
  root, names = ingest.find(str(footage), tmp_path)
  (tmp_path / steps.PARTS).mkdir()
  planned = steps.plan(tmp_path, root, names, RECIPE, 4)
  for position, name in enumerate(planned[0]['files']):
    steps.make_part(tmp_path, 0, position, str(root), name, RECIPE)
  replacing, remove = files.replacing, files.remove

  def killed(*arguments, **options):
    raise KeyboardInterrupt

  def shard(path):
    return killed() if str(path).endswith('record') else replacing(path)

  def last(path):
    if path.name == '00000-00003':
      raise KeyboardInterrupt
    remove(path)

  patches = {
    'shard': (files, 'replacing', shard),
    'summary': (files, 'write', killed),
    'parts': (files, 'remove', killed),
    'last part': (files, 'remove', last),
  }
  with monkeypatch.context() as patch:
    patch.setattr(*patches[before])
    with pytest.raises(KeyboardInterrupt):
      steps.make_shard(tmp_path, 0, 4)
  made = steps.make_shard(tmp_path, 0, 4)
  assert steps.make_shard(tmp_path, 0, 4) == made
  assert not any((tmp_path / steps.PARTS).iterdir())
  run(footage, tmp_path, per_shard=4)
  assert contents(tmp_path) == contents(whole)


def test_beam_does_not_transcode_again_what_is_in_its_shard(
  footage, whole, monkeypatch
):
  monkeypatch.setattr(steps, 'make_part', None)
  file = (0, 0, str(footage), 'a.mp4')
  assert beam._part(str(whole), RECIPE, file) == (0, 0)


@pytest.mark.parametrize(
  ('number', 'code'),
  [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, exits.AGAIN)],
)
def test_killed_and_stopped_processes_end_the_same(
  footage, whole, tmp_path, number, code
):
  parts, tried = tmp_path, 0
  while not (parts.name == steps.PARTS and parts.exists()):
    # On a busy machine it may be done before this process looks again.
    tried += 1
    assert tried < 20
    out = tmp_path / f'{tried}'
    parts = out / steps.PARTS
    command = [
      *(sys.executable, '-m', 'data.ingest', f'--videos={footage}/**'),
      *(f'--out={out}', '--workers=2', '--files_per_shard=4'),
      *(f'--{name}={value}' for name, value in OPTIONS.items()),
    ]
    with subprocess.Popen(command, start_new_session=True) as process:
      while process.poll() is None and not (
        parts.exists() and any(parts.iterdir())
      ):
        time.sleep(0.01)
      if process.poll() is None:
        os.killpg(process.pid, number)
  assert process.returncode == code
  done = subprocess.run(command, check=True, capture_output=True, text=True)
  assert '3 videos in 4 records' in done.stdout
  assert '3 files were refused' in done.stdout
  assert named(out) == named(whole)


def test_new_videos_become_new_shards(film, tmp_path):
  folder, out = tmp_path / 'videos', tmp_path / 'data'
  folder.mkdir()
  film.write(folder / 'b.mp4', film.texture(20))
  first = run(folder, out)
  film.write(folder / 'a.mp4', film.greys(20))
  second = run(folder, out)
  assert named(out) == [('b.mp4', 0), ('a.mp4', 0)]
  assert second['shards'][0] == first['shards'][0]
  assert second['fingerprint'] != first['fingerprint']


def test_another_recipe_is_refused(footage, whole):
  with pytest.raises(ValueError, match='another --out'):
    run(footage, whole, recipe=Recipe(**OPTIONS | {'min_frames': 4}))


def test_no_file_is_an_error(tmp_path):
  with pytest.raises(ValueError, match='no file matches'):
    run(tmp_path / '*.mp4', tmp_path / 'data')


def test_all_refused_is_an_error_when_opened(tmp_path):
  (tmp_path / 'videos').mkdir()
  (tmp_path / 'videos' / 'a.mp4').touch()
  assert run(tmp_path / 'videos', tmp_path / 'data')['records'] == 0
  with pytest.raises(ValueError, match='all 1 files were refused'):
    shards.open_shards(tmp_path / 'data')


def test_two_runs_at_once_are_refused(footage, tmp_path):
  with (
    files.lock(tmp_path / '.lock'),
    pytest.raises(ValueError, match=r'process \d+ of .* writes to'),
  ):
    run(footage, tmp_path)


def test_a_full_disk_is_told_and_loses_nothing(
  footage, whole, tmp_path, monkeypatch
):
  def full(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')

  with monkeypatch.context() as patch:
    patch.setattr(msgpack, 'packb', full)
    with pytest.raises(OSError, match=r'free some space, then run the same'):
      run(footage, tmp_path, per_shard=4)
  run(footage, tmp_path, per_shard=4)
  assert contents(tmp_path) == contents(whole)


def test_a_file_that_kills_its_process_twice_is_refused(
  footage, tmp_path, monkeypatch
):
  real = steps.make_part

  def dies(*arguments):
    if arguments[4] == 'a.mp4':
      raise pool.Died('its process died, exit code -11')
    return real(*arguments)

  monkeypatch.setattr(steps, 'make_part', dies)
  run(footage, tmp_path)
  assert refused(tmp_path)['a.mp4'] == 'Died: its process died, exit code -11'


def test_a_file_that_fails_after_a_death_is_not_tried_for_ever(
  footage, tmp_path, monkeypatch
):
  outcomes = [pool.Died('it died'), KeyError('a fault'), KeyboardInterrupt]
  real = steps.make_part

  def fails(*arguments):
    if arguments[4] == 'a.mp4':
      raise outcomes.pop(0)
    return real(*arguments)

  monkeypatch.setattr(steps, 'make_part', fails)
  run(footage, tmp_path)
  assert refused(tmp_path)['a.mp4'] == "KeyError: 'a fault'"


def test_beam_is_asked_for_by_name(footage, tmp_path):
  try:
    import apache_beam  # noqa: F401
  except ModuleNotFoundError:
    with pytest.raises(ValueError, match='pip install --group beam'):
      run(footage, tmp_path, beam_runner='DirectRunner')
  else:
    pytest.skip('Apache Beam is installed')


def test_beam_makes_the_same_shards(footage, whole, tmp_path):
  pytest.importorskip('apache_beam', reason='pip install --group beam')
  run(footage, tmp_path, per_shard=4, beam_runner='DirectRunner')
  assert contents(tmp_path) == contents(whole)


def _without(text: str, key: str) -> str:
  """JSON without every key of this name, however deep."""

  def drop(value):
    if isinstance(value, dict):
      return {k: drop(v) for k, v in value.items() if k != key}
    return [drop(v) for v in value] if isinstance(value, list) else value

  return json.dumps(drop(json.loads(text)))


_DAMAGES = {
  'empty': lambda data: b'',
  'cut': lambda data: data[: len(data) // 2],
  'garbled': lambda data: b'\xff\x00' + data[2:],
  'wrong type': lambda data: b'[3]\n',
}


@pytest.mark.parametrize('damage', _DAMAGES)
@pytest.mark.parametrize('name', ['shard-00000.json', 'plan.jsonl'])
def test_damaged_state_is_told_before_ingestion_goes_on(
  footage, whole, tmp_path, name, damage
):
  out = tmp_path / 'data'
  shutil.copytree(whole, out)
  file = out / name
  file.write_bytes(_DAMAGES[damage](file.read_bytes()))
  with pytest.raises(ValueError, match=rf'{name}.* damaged.*; (delete|give)'):
    run(footage / '**', out, per_shard=4)


@pytest.mark.parametrize('key', ['videos', 'name', 'frames', 'lost', 'sha256'])
def test_a_summary_that_lacks_something_is_told(footage, whole, tmp_path, key):
  out = tmp_path / 'data'
  shutil.copytree(whole, out)
  file = out / 'shard-00000.json'
  file.write_text(_without(file.read_text(), key))
  with pytest.raises(ValueError, match=rf'shard-00000.json.* lacks {key}'):
    run(footage / '**', out, per_shard=4)
  # The remedy that it names.
  file.unlink()
  run(footage / '**', out, per_shard=4)
  assert contents(out) == contents(whole)


@pytest.mark.parametrize('damage', _DAMAGES)
@pytest.mark.parametrize('name', ['manifest.json', 'index.npz'])
def test_damaged_state_is_told_by_who_reads_it_and_made_anew(
  footage, whole, tmp_path, name, damage
):
  out = tmp_path / 'data'
  shutil.copytree(whole, out)
  (out / name).write_bytes(_DAMAGES[damage]((out / name).read_bytes()))
  options = recipes.videos(frames=2, height=16, width=24)
  with pytest.raises(ValueError, match=rf'{name}.* damaged.*copy the folder'):
    videos.make('train', path=str(out), **options)
  run(footage / '**', out, per_shard=4)
  assert contents(out) == contents(whole)


@pytest.mark.parametrize('damage', _DAMAGES)
def test_a_damaged_part_is_told(footage, tmp_path, damage):
  (tmp_path / steps.PARTS).mkdir()
  steps.make_part(tmp_path, 0, 0, str(footage), 'a.mp4', RECIPE)
  file = steps.part(tmp_path, 0, 0)
  file.write_bytes(_DAMAGES[damage](file.read_bytes()))
  with pytest.raises(ValueError, match=r'00000-00000 is damaged.*delete it'):
    steps.make_shard(tmp_path, 0, 1)
