"""Counts each line of standard input as an event of group `auto`, and prints an empty line for it.

Runs with either version of the package. Arguments: the groups and the settings of Redis as JSON.
"""

import json
import sys

import event_count_logger

group = event_count_logger.EventCountLogger(json.loads(sys.argv[1]), json.loads(sys.argv[2])).get_group(
    "auto"
)
assert group is not None
print(event_count_logger.__file__, flush=True)
for line in sys.stdin:
    group.log(line.rstrip("\n"))
    print(flush=True)
