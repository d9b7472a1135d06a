"""Sweeps: functions that yield runs, for `python -m launch.sweep`."""
