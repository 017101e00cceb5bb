"""IMAGE -> SCORES: predictors, and the Model that people hold in their hands."""
