"""From the command to the first new step."""
