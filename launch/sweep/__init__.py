"""Sweeps: many runs, N at a time, each once: `python -m launch.sweep`.

`runs` is what there is to do, `naming` what each is called, `checks` whether it
can work; `stages` are the commands of a run, `state` what is on disk of it,
`loop` starts and follows them on one of `backends`, `board` and `results` show
them.
"""
