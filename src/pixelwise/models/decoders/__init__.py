"""Decoders: `Features` in, scores on their own grid out, and from there to the size of the image."""
