"""Databases as a whole: what belongs to one, create, drop, and put one in another's place."""
