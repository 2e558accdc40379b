"""The parts of scripts/growth: processes, faults, and measurements of memory."""
