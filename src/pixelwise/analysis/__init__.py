"""Rooms below in, the papers' experiments out: each one function, one table."""
