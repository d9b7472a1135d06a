"""Checkpoints evaluated while a run trains: `python -m evals.watch`.

`checkpoints` waits for them and takes one after another, `one_checkpoint`
evaluates its tasks, together or one by one, `outcomes` is what lies on disk of
each.
"""
