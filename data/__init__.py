"""Bytes to NumPy batches; the only room that knows files. Imports no jax."""
