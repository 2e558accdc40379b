"""Evaluates expressions against an EventCountLogger; prints their values and their log messages, as JSON.

Runs with either version of the package. Argument: JSON with `groups`, `redis` and `calls`.
"""

import json
import logging
import sys

import event_count_logger
from event_count_logger import DUMMY_EVENT_GROUP, DummyEventGroup, EventCountLogger

task = json.loads(sys.argv[1])
messages: list[str] = []


class Recorder(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        messages.append(f"{record.levelname} {record.name}")


logging.getLogger().addHandler(Recorder())
ecl = EventCountLogger(cfg_groups=task["groups"], cfg_redis=task["redis"], log_level="WARNING")
names = {"ecl": ecl, "DummyEventGroup": DummyEventGroup, "DUMMY_EVENT_GROUP": DUMMY_EVENT_GROUP}
names |= {name: ecl.get_group(name) for name in task["groups"]}

answers = []
for call in task["calls"]:
    messages.clear()
    answers.append([eval(call, names), list(messages)])
print(json.dumps({"module": event_count_logger.__file__, "answers": answers}))
