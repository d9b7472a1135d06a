"""Faults on purpose: what launchers promise, shown on this machine."""
