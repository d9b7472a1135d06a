"""How far activations move at each width of a model, in a few steps."""
