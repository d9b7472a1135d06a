"""Several slices in a table: `python -m launch.plan.compare`."""
