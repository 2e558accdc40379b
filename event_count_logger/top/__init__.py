"""What `ecl top` shows: samples of Redis, and a view of them that keys change."""
