"""Tailing of log files through rotation and restarts: each line is counted once."""
