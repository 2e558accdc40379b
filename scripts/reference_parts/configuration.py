"""The page with all settings."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.reference_parts.settings import IGNORED, SECTIONS, Section, settings

HEAD = """\
# Configuration

<!-- scripts/reference writes this page from the code. -->

A configuration is a YAML file with the sections below. Sections of other names are left alone, so it may be part of a
larger file. `ecl check ecl.yml` names every problem, with its line. [example_config.yml](../example_config.yml) shows
most settings in use.

In programs, the sections `redis` and `groups` can be dictionaries: `EventCountLogger(groups, redis)`.

A length of time is a number and a unit: `90s`, `5m`, `72h`. A number of seconds has no unit. A template is text in
which `{name}` stands for a value. Event IDs are strings of at most 512 bytes of UTF-8, without control characters,
that do not begin with `@`; quote what YAML takes for something else: `'404'`, `'on'`. Names of groups are made of
letters, digits, `_`, `-` and `.`. In the names of settings `-` is the same as `_`.
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
