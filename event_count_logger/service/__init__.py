"""The services: the master, the embedded server, and what every service does besides its work."""
