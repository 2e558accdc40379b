"""Tailing of log files through rotation and restarts: each line is counted once.

    inputs/    chunks of complete records, and the position behind them
    formats/   records of the lines of a chunk, with their texts and fields
    rules/     selection of records, and the counts that they add
    tail.py    commits the counts of all chunks together with the position

A chunk is matched on its own, in this process or in one of a worker pool: between chunks there is no state
but the position.
"""
