"""The parts of the page of the Python API: names in their order, and the text before them."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """A part of the page.

    Attributes:
        title: Its heading.
        names: Paths in the package: `EventGroup`, or `config.from_file` for a name of a module.
        intro: Markdown before them.
    """

    title: str
    names: tuple[str, ...]
    intro: str


HEAD = """\
# Python API

<!-- scripts/reference writes this page from the code. -->

This page lists every class, function and error of the package. Each name is imported from `event_count_logger`, unless
its part of the page names another module.

The examples use this `ecl.yml`:

```yaml
redis: {host: localhost}
groups:
  requests:
    events: [ok, failed]
    intervals: [5m]
  visits:
    events: [shop]
    intervals: [5m]
    sessions: {timeout: 15m}
```

and begin with the following; further imports are left out. In the last interval, `ok` was counted 4 times.

```python
from event_count_logger import EventCountLogger

ecl = EventCountLogger.from_file("ecl.yml")
group = ecl["requests"]
reader = ecl.reader("requests")
```

* Times are Unix seconds by the clock of Redis, as `float`. Names that end in `_s` are seconds, too.
* An event ID is a string of at most 512 bytes of UTF-8, without control characters, that does not begin with `@`.
* Everything is safe to use in several threads, unless its text says otherwise.
"""

PARTS = (
    Part(
        "Counting",
        (
            "EventCountLogger",
            "EventGroup",
            "Counter",
            "Outcome",
            "Session",
            "DummyEventGroup",
            "DUMMY_EVENT_GROUP",
        ),
        "[Concepts](concepts.md) explains what a count goes through. [Process models](process-models.md) is about forks, threads and servers. [Sources](sources.md) shows sessions and streams.",
    ),
    Part(
        "Reading",
        ("GroupReader", "AsyncGroupReader", "Follower", "Snapshot", "Totals", "RangeSum"),
        "[Reading from programs and scripts](reading.md) shows these at work.",
    ),
    Part(
        "The master",
        ("EventCountLoggerMaster",),
        "The command `ecl_master` is all that most installations need. A program can run a master of its own instead.",
    ),
    Part(
        "Configurations",
        ("config.from_file", "config.from_dicts", "config.Config"),
        "[`EventCountLogger`](#eventcountlogger) reads configurations by itself. The module `event_count_logger.config` does so without it. `GroupConfig`, `RedisConfig`, `ServeConfig`, `GrafanaConfig` and `TailConfig` are immutable objects of it, whose attributes have the names of the [settings](configuration.md).",
    ),
    Part(
        "Errors",
        (
            "EventCountLoggerError",
            "ConfigError",
            "Problem",
            "NotConfigured",
            "EmbeddedServerError",
            "StoreError",
            "Unavailable",
            "NotDurable",
            "Rejected",
            "SourceMoved",
        ),
        "`log()` raises none of these. [Reading](reading.md#errors) lists which of them each method of a reader raises.",
    ),
    Part(
        "Testing",
        (
            "testing.RecordingEventCountLogger",
            "testing.RecordingGroup",
            "testing.capture_counts",
            "testing.CapturedCounts",
        ),
        "The module `event_count_logger.testing` is for tests of programs that count. With pytest no import is needed: the fixture `ecl` is a [`testing.capture_counts()`](#testingcapture_counts) around the test. The option `ecl_capture = true` in the configuration of pytest records everything that the tests count. [Test code that counts](how-to/testing.md) shows both in use.",
    ),
)

#: Classes that programs make themselves: their constructors are part of the page.
MADE_BY_PROGRAMS = (
    "EventCountLogger",
    "EventCountLoggerMaster",
    "DummyEventGroup",
    "RecordingEventCountLogger",
)

#: Classes of the part about configurations whose attributes are the settings.
SETTINGS = ("GroupConfig", "RedisConfig", "ServeConfig", "GrafanaConfig", "TailConfig")

#: Classes without an example: that of their base class, or of the function that makes them, is enough.
WITHOUT_EXAMPLE = (
    "Problem",
    "EventCountLoggerError",
    "EmbeddedServerError",
    "Unavailable",
    "NotDurable",
    "Rejected",
    "SourceMoved",
    "CapturedCounts",
    "RecordingGroup",
)

#: Classes whose methods are listed in a line each.
COMPACT = ("DummyEventGroup", "RecordingGroup")

#: Methods that only the package itself calls.
INTERNAL = ("RecordingGroup.record_action", "CapturedCounts.group")

#: Names of types in signatures, with their modules.
TYPES = {
    "Missing": "logger",
    "After": "reading.follow",
    "Time": "reading.times",
    "Half": "keys",
    "Records": "sources.stream",
    "Applied": "errors",
    "Retry": "errors",
}
