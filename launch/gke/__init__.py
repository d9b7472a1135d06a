"""Runs on GKE: `python -m launch.gke`.

`order` is what is asked for, `manifest` the JobSet that it becomes, with rules
of failure that `failures` makes from launch/policy.py. `kubectl` hands it over
and says in a line what went wrong, `others` are Google's own tools instead.
`start` has what a person does with it, `state` and `pods` how it stands.
"""
