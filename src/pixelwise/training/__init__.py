"""SAMPLES + NETWORK -> CHECKPOINTS: recipes, objectives, the optimiser, and the loop."""
