"""A finished job on any video: `python -m evals.predict`."""
