"""Features of a frozen backbone: of videos, and kept for readouts."""
