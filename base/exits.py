"""What the code that a process ends with says to who started it.

A scheduler, or `launch/policy.py`, reads it: whether to start again.
"""

DONE = 0
# Wrong input, or a check that failed: the same command would fail again. What
# Python itself gives for a message, and absl for a wrong flag.
WRONG = 1
USAGE = 2
# sysexits' EX_SOFTWARE: a fault of the program, or of what it ran into.
FAULT = 70
# sysexits' EX_TEMPFAIL: saved and stopped; the same command goes on.
AGAIN = 75
# By Ctrl-C before there was anything to save, as shells have it.
INTERRUPTED = 130


class Again(Exception):
  """Told to stop, and saved: the same command goes on. It ends with AGAIN."""
