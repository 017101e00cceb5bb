"""Proposals: an image in, boxes out that may hold an object, best first."""
