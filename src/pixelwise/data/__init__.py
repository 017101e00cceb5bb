"""DISK -> SAMPLES: data sets in the layouts people have, checked, augmented, cut and batched."""
