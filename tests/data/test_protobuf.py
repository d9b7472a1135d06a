"""Our parser of records beside the library of protocol buffers."""

import numpy as np
import pytest

from data.bench import protobuf
from data.formats import tfds


@pytest.mark.slow  # to import TensorFlow
def test_the_library_finds_the_same(monkeypatch):
  monkeypatch.setattr(protobuf, '_BYTES', 50)
  data = protobuf.record()
  for names in protobuf.ASKED.values():
    ours, library = tfds.features(data, names), protobuf.by_library(data, names)
    assert ours.keys() == library.keys() == {*names}
    for name in names:
      if isinstance(ours[name], list):
        assert ours[name] == library[name]
      else:
        assert ours[name].dtype == library[name].dtype
        np.testing.assert_array_equal(ours[name], library[name])
