"""NUMBERS -> PEOPLE: pages on evaluations, the curves of a training, and its board. The only room that draws."""
