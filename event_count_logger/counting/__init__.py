"""The local counters of a process: what `log()` adds to, and how that reaches Redis."""
