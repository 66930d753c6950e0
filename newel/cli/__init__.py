"""Arguments, printing and exit codes. The only place that prints."""
