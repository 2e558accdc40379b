"""Sources of counts besides `log()`: streams of records, sessions, log files and HTTP requests."""
