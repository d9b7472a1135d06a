"""Machines: what a run costs, and where it runs."""
