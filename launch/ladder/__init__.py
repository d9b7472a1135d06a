"""Every size, compiled for slices of pods: `python -m launch.ladder`."""
