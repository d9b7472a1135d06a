"""Checkpoints evaluated while a run trains: `python -m evals.watch`.

`checkpoints` waits for them and takes one after another, `tasks` evaluates
one, `outcomes` is what lies on disk of each.
"""
