"""Finished intervals in a database."""
