import numpy as np
import pytest

from train import progress


def test_the_first_bad_group_is_named():
  metrics = {
    'train/loss': 0.5,
    'optim/grad_norm': np.nan,
    'optim/grad_norm/encoder/posenc': 1.0,
    'optim/grad_norm/processor/layers': np.nan,
    'optim/grad_norm/head/kernel': np.inf,
  }
  message = r"step 7: .* not finite in 'processor/layers' and 1 more"
  with pytest.raises(FloatingPointError, match=message):
    progress.check_finite(7, metrics)
  progress.check_finite(7, {'train/loss': 1.0, 'optim/grad_norm': 2.0})
