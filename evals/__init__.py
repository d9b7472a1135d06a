"""Benchmarks: readouts on frozen features, metrics, reports."""
