"""The page of all settings."""

from __future__ import annotations

from collections.abc import Iterator

from event_count_logger.config.redis_settings import NO_EFFECT
from reference_parts.settings import SECTIONS, Section, default

HEAD = """\
# Configuration

<!-- scripts/reference writes this page from the code. -->

A configuration is a YAML file with the sections below. Other sections are ignored, so it may be part of a larger file.
`ecl check ecl.yml` prints every problem with its line. [example_config.yml](../example_config.yml) shows most settings in use.

In programs, the sections `redis` and `groups` can be dictionaries: `EventCountLogger(groups, redis)`.

* A length of time is a number and a unit: `90s`, `5m`, `72h`, `7d`, `2w`, or `1y`, which is 365 days. A number of
  seconds has no unit.
* A template is text with placeholders: `{name}` is replaced by a value, and `{{` by one brace.
* An event ID is a string of at most 512 bytes of UTF-8, without control characters, that does not begin with `@`. Quote
  IDs that YAML reads as something else: `'404'`, `'on'`.
* The name of a group has letters, digits, `_`, `-` and `.`.
* In the names of settings, `-` means the same as `_`.

## Environment variables

`${NAME}` in a value is replaced by the environment variable of that name, and `$$` by one `$`:

    tail:
      - file: access.log
        group: http
        source: "${NODE_NAME}"

A variable that is not set is a problem, and so is a `${` without a name and a `}`:

    $ ecl check ecl.yml
    ecl.yml:6: tail[0].source: refers to environment variable NODE_NAME, which is not set (write $${NODE_NAME} for the text ${NODE_NAME})
    ecl.yml: 1 problem

* Variables are read together with the configuration, also in dictionaries of a program. A service that reads its
  configuration again at SIGHUP still has the environment of its start.
* Any text may have references, in any number and place, except keys: names of groups and of settings.
  Within `{}` and `[]`, YAML needs quotes around such text.
* The value of a variable may be a number where one is expected: `history: ${HISTORY}`.
* A single `$`, as in a regular expression, is unchanged.
* In `username`, `password` and `url` of `redis` and `export`, and in the `events` of a group, `$$` is one `$` only beside
  a `${NAME}`. The password `pa$$word` is unchanged.
* Messages show `${NAME}` in place of the value of a variable, which may be secret.
"""


def page() -> str:
    """Returns the page for docs/configuration.md."""
    return HEAD + "".join(f"\n{line}\n" for section in SECTIONS for line in _section(section))


def _section(section: Section) -> Iterator[str]:
    yield f"## {_title(section)}"
    yield section.intro
    rows = [
        f"| `{name}` | {entry.check.kind} | {default(entry)} | {entry.since} | {entry.meaning} |"
        for name, entry in section.table.items()
    ]
    yield "\n".join(["| setting | value | default | since | meaning |", "|---|---|---|---|---|", *rows])
    if section.path == "redis":
        names = ", ".join(f"`{name}`" for name in NO_EFFECT)
        yield f"Accepted without effect, for configurations of version 1.1: {names}."


def _title(section: Section) -> str:
    return section.path[0].upper() + section.path[1:] if " " in section.path else f"`{section.path}`"
