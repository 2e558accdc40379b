"""Pure functions from snapshots and status to text, one module per format."""
