"""The PostgreSQL that newel starts itself: its binaries, one data directory, its places, its life."""
