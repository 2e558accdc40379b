"""Rules of tails: they select lines, and add to a tally."""
