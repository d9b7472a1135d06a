"""Recipes: `get_config(arg)` returns a ConfigDict of plain values."""
