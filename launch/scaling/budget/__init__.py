"""Which model a number of chip-hours is best spent on."""
