"""A stand-in of a cloud on this machine, for the real gcloud and real ssh."""
