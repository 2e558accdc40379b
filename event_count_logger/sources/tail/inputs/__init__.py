"""Inputs of tails: files, archives, streams and the journal, and the positions in them."""
