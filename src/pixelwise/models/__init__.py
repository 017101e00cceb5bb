"""TENSORS -> SCORES: the networks, their parts, and the table of the published ones."""
