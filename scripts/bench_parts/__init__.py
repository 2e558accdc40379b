"""The parts of scripts/bench: `sections` measure `libraries`, each in a process of its own."""
