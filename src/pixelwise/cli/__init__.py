"""The command line: parsing, wiring and messages to people; no algorithms.

Heavy imports stand inside the verbs, so that `--help` answers at once.
"""
