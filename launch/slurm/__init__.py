"""Runs on the machines of a Slurm cluster, started again by the policy."""
