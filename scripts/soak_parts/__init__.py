"""The parts of scripts/soak: processes, faults, and checks of what was counted."""
