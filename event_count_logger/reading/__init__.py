"""Reads of counts and of status: what an application, a command, the page and monitoring see."""
