"""What size brings: rates that transfer over width, fits, forecasts."""
