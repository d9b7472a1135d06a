"""How a plan is told: as text, and as a page."""
