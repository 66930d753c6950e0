"""The tables that the up files make, as far as their statements say."""
