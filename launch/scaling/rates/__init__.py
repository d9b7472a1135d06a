"""Which learning rate is best at each width, with and without muP."""
