"""The page with all settings."""

from __future__ import annotations

from collections.abc import Iterator

from reference_parts.settings import IGNORED, SECTIONS, Section, settings

HEAD = """\
# Configuration

<!-- scripts/reference writes this page from the code. -->

A configuration is a YAML file with the sections below. Sections of other names are left alone, so it may be part of a
larger file. `ecl check ecl.yml` names every problem, with its line. [example_config.yml](../example_config.yml) shows
most settings in use.

In programs, the sections `redis` and `groups` can be dictionaries: `EventCountLogger(groups, redis)`.

A length of time is a number and a unit: `90s`, `5m`, `72h`; a day is `24h`. A number of seconds has no unit. A template
is text in which `{name}` stands for a value. Event IDs are strings of at most 512 bytes of UTF-8, without control
characters, that do not begin with `@`; quote what YAML takes for something else: `'404'`, `'on'`. Names of groups are
made of letters, digits, `_`, `-` and `.`. In the names of settings `-` is the same as `_`.

## Environment variables

`${NAME}` in a value is replaced by the environment variable of that name, and `$$` by one `$`:

    tail:
      - file: access.log
        group: http
        source: "${NODE_NAME}"

A variable that is not set, and a `${` without a name and a `}`, is a problem like any other:

    $ ecl check ecl.yml
    ecl.yml:6: tail[0].source: refers to environment variable NODE_NAME, which is not set (write $${NODE_NAME} for the text ${NODE_NAME})
    ecl.yml: 1 problem

* Variables are read with the configuration, in dictionaries of a program, too. A service that reads it again at SIGHUP
  still has the environment that it was started with.
* Every value that is text may have them, in any number and place. Names of groups, and whatever else stands before a
  colon, are left alone. Within `{}` and `[]`, YAML needs quotes around such text.
* The value of a variable may be a number where one is expected: `history: ${HISTORY}`.
* A single `$`, as in a regular expression, stays.
* In `username`, `password` and `url` of `redis`, and in the `events` of a group, `$$` is one `$` only beside a `${NAME}`: the
  password `pa$$word` stays.
* Messages show `${NAME}` where a value cannot be used, since that of a variable may be secret.
"""

#: What is said of a section before its settings.
INTROS = {
    "redis.sentinel": "Sentinels know which server is the master now; what they are asked with is here, and what the servers are asked with in `redis`.",
    "redis": "Where the counts are kept. One of `host` (with `port` and `db`), `url`, `embedded`, `sentinel`, and `cluster` with `nodes` says\nwhere: [deployment.md](deployment.md).",
    "groups.NAME": "The section `groups` maps names to groups. A key here that is not known is warned of; in the other "
    "sections it is an error.",
    "groups.NAME.sessions": "How [sessions](sources.md#sessions) are timed, and how long they are remembered.",
    "tail[]": "The section `tail` is a list of [log files](sources.md#log-files) that `ecl tail` follows.",
    "tail[].rules[]": "An entry of `rules`.",
    "tail[].rules[].session": "What a line says about a session.",
    "tail[].rules[].time": "When a session was there.",
    "serve": "What [`ecl serve`](server.md) lets others do.",
    "grafana": "What the sessions of [Grafana's dashboards](sources.md#grafana-dashboards) are counted as.",
    "beside the sections": "These stand at the same level as the sections.",
}


def page() -> str:
    """The page, as it is to be in docs/configuration.md."""
    return HEAD + "".join(f"\n{line}\n" for section in SECTIONS for line in _section(section))


def _section(section: Section) -> Iterator[str]:
    yield f"## {_title(section)}"
    yield INTROS[section.path]
    rows = [
        f"| `{each.name}` | {each.kind} | {each.default} | {each.meaning} |".replace("\n", " ")
        for each in settings(section)
    ]
    yield "\n".join(["| setting | what it may be | if not given | meaning |", "|---|---|---|---|", *rows])
    if section.path == "redis":
        names = ", ".join(f"`{name}`" for name in IGNORED)
        yield f"Accepted without effect, since configurations have them: {names}."


def _title(section: Section) -> str:
    return section.path[0].upper() + section.path[1:] if " " in section.path else f"`{section.path}`"
