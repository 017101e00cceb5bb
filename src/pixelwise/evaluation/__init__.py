"""SCORES + LABELS -> NUMBERS: one confusion matrix over the whole set, and what follows from it."""
