"""One module for each section of the report. Its `run(bench)` measures."""
