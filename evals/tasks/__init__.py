"""Benchmark tasks: source, head, loss, metrics, pictures."""
