"""Maths and parameters; the only room that imports flax."""
