"""Ingestion on Beam: what is asked of it is checked before the first step."""

import pytest

from tests import commands
from tests.data.ingest.test_folder import run

MISSPELT = '--direct_running_mod=multi_processing'


def test_options_without_a_runner_are_told(footage, tmp_path):
  with pytest.raises(ValueError, match=r"='--x=1' without --beam_runner: give"):
    run(footage, tmp_path / 'data', beam_options='--x=1')
  assert not (tmp_path / 'data').exists()


@pytest.mark.parametrize('flag', ['workers', 'limit_s'])
def test_flags_of_this_machine_are_not_for_a_runner(tmp_path, flag):
  ended = commands.run(
    *('data.ingest', '--videos=a', f'--out={tmp_path}/data', f'--{flag}=2'),
    '--beam_runner=DirectRunner',
  )
  assert ended.returncode == 1
  assert f'--{flag} is of this machine alone' in ended.stderr


@pytest.mark.parametrize(
  ('runner', 'options', 'said'),
  [
    ('DirectRuner', '', "runner 'DirectRuner': .* mean 'DirectRunner'?"),
    ('', '', "runner ''"),
    ('no.such.Runner', '', '=no.such.Runner cannot be used: No module named'),
    ('os.path.Runner', '', '=os.path.Runner cannot be used: .* no attribute'),
    ('collections.Counter', '', '=collections.Counter is no runner of Apache'),
    ('DirectRunner', MISSPELT, 'did you mean --direct_running_mode'),
    ('FlinkRunner', MISSPELT, 'no option --direct_running_mod; did you'),
    ('SparkRunner', MISSPELT, 'no option --direct_running_mod; did you'),
    ('DirectRunner', 'multi_processing', 'no option multi_processing'),
    ('DirectRunner', '--direct_num_workers=x', "invalid int value: 'x'"),
    ('DirectRunner', "--job_name='a", 'No closing quotation'),
    ('DirectRunner', '--runner=FlinkRunner', 'by --beam_runner=FlinkRunner'),
    ('DataflowRunner', '--region=R', 'Missing required option: project'),
  ],
)
def test_what_beam_does_not_take_is_told_first(
  footage, tmp_path, runner, options, said
):
  pytest.importorskip('apache_beam', reason='pip install --group beam')
  with pytest.raises(ValueError, match=said):
    run(
      *(footage, tmp_path / 'data'),
      beam_runner=runner,
      beam_options=options,
    )
  assert not (tmp_path / 'data').exists()


@pytest.mark.parametrize(
  ('runner', 'options'),
  [
    (
      'DirectRunner',
      '--direct_running_mode=multi_processing --direct_num_workers=16',
    ),
    (
      'FlinkRunner',
      '--flink_master=HOST:8081 --parallelism=100 --environment_type=DOCKER '
      '--environment_config=IMAGE',
    ),
    (
      'SparkRunner',
      '--spark_master_url=spark://HOST:7077 --environment_type=DOCKER '
      '--environment_config=IMAGE',
    ),
  ],
)
def test_what_docs_name_is_taken(runner, options):
  pytest.importorskip('apache_beam', reason='pip install --group beam')
  from data.ingest import beam

  beam.prepared(runner, options)
