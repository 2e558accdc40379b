"""The local counters of a process, to which `log()` adds, and the senders that bring them to Redis."""
