"""Rotates group g until SIGTERM, which raises an exception; then prints the path of the package.

Runs with either version of the package. Arguments: settings of Redis as JSON, and the exception's name.
"""

import builtins
import json
import signal
import sys

import event_count_logger

error = getattr(builtins, sys.argv[2])


def interrupt(number: int, frame: object) -> None:
    raise error


signal.signal(signal.SIGTERM, interrupt)
groups = {"g": {"events": ["a"], "intervals": ["1s"]}}
event_count_logger.EventCountLoggerMaster(groups, json.loads(sys.argv[1])).run()
print(event_count_logger.__file__)
