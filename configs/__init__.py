"""Recipes: `get_config(arg)` returns a ConfigDict of plain values.

Beside a number stands where it is from: `published`, in the paper or the public
code that the recipe's docstring names; `measured`, with where the figures are;
`ours`, a choice that nothing was tuned for.
"""
