"""Formats of log files: where records begin and end, and the values of their fields."""
