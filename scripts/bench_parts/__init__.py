"""The parts of scripts/bench: `sections` measure, with a process of its own for each of the `libraries`."""
