"""What a run would be on a pod: `python -m launch.plan`."""
