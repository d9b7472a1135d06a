"""What runs on each host of a launch; the launcher calls it by ssh.

It needs nothing but the Python that a TPU VM comes with, 3.8 or newer. Each
verb may be run twice, since gcloud repeats a command whose connection broke,
and none ends with 255, which ssh has for itself.

    ~/scale4d/NAME/CODE/            this checkout, what to run in .launch/
    ~/scale4d/NAME/attempts/N/      log, pid, child, end.json
    ~/scale4d/packages-.../         what is installed, for all that need it
"""
