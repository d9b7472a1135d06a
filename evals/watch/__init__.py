"""Checkpoints evaluated while a run trains: `python -m evals.watch`."""
