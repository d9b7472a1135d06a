"""What a step takes on this machine: `python -m launch.bench`."""
