"""NUMBERS -> PEOPLE: the curves of a training, and its board. The only room that draws."""
