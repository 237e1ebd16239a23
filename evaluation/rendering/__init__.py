"""The report as a file that a person reads."""
