"""Slices of TPU VMs: made, started on, followed, made again, given back."""
