"""What feeds groups besides `log()`: streams of records, sessions, log files and requests."""
