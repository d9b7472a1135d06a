"""What a process and who started it tell each other: its code, its number.

A scheduler, or `launch/policy.py`, reads from the code whether to start again.
"""

# Environment variable that launchers set: which of their starts this is, from
# 1.
ATTEMPT = 'SCALE4D_ATTEMPT'

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


class Unavailable(Exception):
  """What lies elsewhere cannot be had now; another start may find it: FAULT.

  No OSError, which readers of files take for a fault of the file.
  """
