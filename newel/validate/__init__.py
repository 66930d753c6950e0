"""Static checks of a project and of its files. They read what is on disk and need no database."""
