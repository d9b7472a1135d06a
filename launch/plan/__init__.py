"""What a run would be on a pod: `python -m launch.plan`.

`estimate` makes the figures of a recipe on a slice (`topology`): by formula
(`memory`), then of the program that the TPU's `compiler` makes, which `hlo`
reads and times. `does_not_fit` is what is said where a chip is too small,
`report` how a plan is told, `layouts` keeps what `search` finds.
"""
