"""The model of `ecl top`: samples of Redis, and a view of them that keys change."""
