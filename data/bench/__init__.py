"""How fast clips are read: `python -m data.bench`; and records parsed."""
