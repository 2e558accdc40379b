"""Reads of counts and of status, for applications, commands, the page and monitoring."""
