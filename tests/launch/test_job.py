"""The command that a launcher is given, and what cannot work."""

import pytest

from launch import job as job_lib

TRAIN = ('python', '-m', 'train', '--config=configs/mae.py:size=S')


def parse(*words, one_disk=True):
  return job_lib.parse(words, one_disk=one_disk)


def test_a_command_is_kept_word_by_word():
  job = parse(*TRAIN, '--workdir=my runs/a', '--config.optim.lr=1e-3')
  assert (job.module, job.joins) == ('train', True)
  assert str(job).endswith("'--workdir=my runs/a' --config.optim.lr=1e-3")


@pytest.mark.parametrize(
  ('words', 'value'),
  [
    (['--workdir=a=b'], 'a=b'),
    (['--workdir', 'a'], 'a'),
    (['-workdir=a'], ''),
    (['--workdir=a', '--workdir=b'], 'b'),  # as absl has it
    (['--workdirs=a'], ''),
  ],
)
def test_a_flag_is_found_as_it_was_written(words, value):
  assert parse('x', *words).flag('workdir') == value


@pytest.mark.parametrize(
  ('words', 'module'),
  [
    (['/v/bin/python3.11', '-m', 'evals.report'], 'evals.report'),
    (['python', 'train.py'], ''),
    (['bash', '-c', 'python -m train'], ''),
  ],
)
def test_a_module_is_told_from_other_commands(words, module):
  assert parse(*words).module == module


@pytest.mark.parametrize(
  ('words', 'one_disk', 'says'),
  [
    ([], True, 'no command was given: put it behind --'),
    (TRAIN, True, 'has no --workdir='),
    ([*TRAIN, '--workdir=gs:/b/a'], True, 'a folder of a disk or of gs://'),
    ([*TRAIN, '--workdir=s3://b/a'], False, 'a folder of a disk or of gs://'),
    ([*TRAIN, '--workdir=runs/a'], False, 'is a folder of one machine'),
  ],
)
def test_what_cannot_work_is_refused(words, one_disk, says):
  with pytest.raises(ValueError, match=says):
    parse(*words, one_disk=one_disk)


def test_a_bucket_serves_machines_without_a_common_disk():
  assert parse(*TRAIN, '--workdir=gs://b/a', one_disk=False).module == 'train'
