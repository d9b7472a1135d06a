"""The report of runs: one page, its figures and its numbers."""
