"""The master, the embedded server, and the parts that all services share: reload, sd_notify, log format."""
