"""Counts in all groups of a configuration file until its standard input ends; prints the totals as JSON.

Runs with either version of the package. Argument: the file.
"""

import json
import select
import sys
from collections import Counter
from pathlib import Path

import yaml

import event_count_logger

config = yaml.safe_load(Path(sys.argv[1]).read_text())
ecl = event_count_logger.EventCountLogger(config["groups"], config["redis"])
groups = {name: ecl.get_group(name) for name in config["groups"]}
counted = {name: Counter[str]() for name in groups}

is_over = False
while not is_over:  # at least once, however late it starts
    for name, group in groups.items():
        assert group is not None
        for count, event in enumerate(config["groups"][name]["events"], 1):
            group.log(event, count)
            counted[name][event] += count
    is_over = bool(select.select([sys.stdin], [], [], 0.005)[0])

for group in groups.values():
    assert group is not None
    group.sync()
print(json.dumps({"module": event_count_logger.__file__, "counted": counted}))
