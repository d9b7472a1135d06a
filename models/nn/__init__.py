"""What objectives are built of: attention, layers, positions, pixels."""
