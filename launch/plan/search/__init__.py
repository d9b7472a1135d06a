"""Finds a layout on a slice: `python -m launch.plan.search`."""
