"""Event groups of the configuration: those that count in Redis, and those that record for tests."""
