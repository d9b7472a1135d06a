"""A cloud on this machine, where gcloud and sshd are installed."""

import os

import pytest

from launch.drill.cloud import cloud as cloud_lib


@pytest.fixture
def cloud(tmp_path, monkeypatch):
  """A stand-in that the real gcloud of this process's environment reaches."""
  why = cloud_lib.missing()
  if why:
    pytest.skip(why)
  for name in list(os.environ):
    if name.startswith('CLOUDSDK_') or name.lower() == 'http_proxy':
      monkeypatch.delenv(name)
  with cloud_lib.Cloud(tmp_path / 'cloud') as found:
    for name, value in found.environment.items():
      monkeypatch.setenv(name, value)
    yield found
