"""Processes of one machine: started as one run, and again by the policy."""
