"""Data sets, a module or a folder each: what lies here is a source."""
