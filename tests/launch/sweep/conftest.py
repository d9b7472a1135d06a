"""The stand-in of a cloud, as the tests of its launcher have it."""

from tests.launch.tpu.conftest import cloud  # noqa: F401
