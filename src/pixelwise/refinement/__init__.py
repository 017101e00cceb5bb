"""(IMAGE, SCORES) -> SCORES: the fully connected CRF, on anybody's scores."""
