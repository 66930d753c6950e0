"""A project's database as a whole: restored from a backup, dropped, made anew."""
