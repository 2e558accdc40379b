"""The section `export`: the address of the database, its password, groups and intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from event_count_logger import ConfigError
from event_count_logger.config import Config, from_dicts, from_file
from tests.fixtures import Write

GROUPS: dict[str, Any] = {
    "web": {"events": ["a"], "intervals": ["5m", "1h"]},
    "mail": {"events": ["a"], "intervals": ["5m"]},
    "none": {"events": ["a"], "intervals": ["5m"], "history": 0},
    "secret": {"events": ["a"], "intervals": ["5m"], "hidden": True},
}
URL = "postgresql+psycopg://me@db/ecl"
NO_FILE = "names no file, such as sqlite:///counts.db (a database in memory is lost at exit)"
NOT_SPLIT = "cannot be split into user, password, host, port and database (in a password, write @ as %40)"


def configured(**export: Any) -> Config:
    return from_dicts(GROUPS, export={"url": URL, **export})


def problems(**export: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        configured(**export)
    return [str(problem) for problem in caught.value.problems]


def exported(**export: Any) -> list[str]:
    return [f"{group.name} {interval.name}" for group, interval in configured(**export).exported]


def test_groups_with_history_that_are_not_hidden_are_exported() -> None:
    assert exported() == ["web 5m", "web 1h", "mail 5m"]
    assert exported(groups=["secret", "web"]) == ["web 5m", "web 1h", "secret 5m"]
    assert exported(intervals=["1h"]) == ["web 1h"]
    assert from_dicts(GROUPS).exported == []


def test_interval_without_history_is_not_exported() -> None:
    groups = {"web": {**GROUPS["web"], "history": {"5m": "7d", "1h": 0}}}
    config = from_dicts(groups, export={"url": URL})
    assert [interval.name for _, interval in config.exported] == ["5m"]
    with pytest.raises(ConfigError, match="'1h' is not an interval with a history"):
        from_dicts(groups, export={"url": URL, "intervals": ["1h"]})


@pytest.mark.parametrize(
    ("export", "problem"),
    [
        ({"groups": ["wbe"]}, "export.groups: 'wbe' is not a group (configured: web, mail, none, secret)"),
        (
            {"groups": ["none"]},
            "export.groups: 'none' keeps no history ('history: 0'), so that no interval can be exported",
        ),
        (
            {"intervals": ["2h"]},
            "export.intervals: '2h' is not an interval with a history of any exported group "
            "(configured: 5m, 1h)",
        ),
        (
            {"groups": ["mail"], "intervals": ["1h"]},
            "export.intervals: '1h' is not an interval with a history of any exported group (configured: 5m)",
        ),
        (
            {"url": "me:hush5@db/ecl"},
            "export.url: '***@db/ecl' is not a database URL (for example sqlite:///counts.db or "
            "postgresql+psycopg://ecl@db.example.org/ecl)",
        ),
        ({"url": "sqlite://counts.db"}, f"export.url: {NO_FILE}"),
        ({"url": "sqlite:///:memory:"}, f"export.url: {NO_FILE}"),
        ({"url": "postgresql://me:x@hush5@db/ecl"}, f"export.url: {NOT_SPLIT}"),
        ({"url": "postgresql://me:x@hush5/hush5@db/ecl"}, f"export.url: {NOT_SPLIT}"),
        ({"url": "postgresql://me:hush5"}, f"export.url: {NOT_SPLIT}"),
        (
            {"url": "postgresql://me:hush5@db/ecl", "password": "hush5"},
            "export.password: is given beside a password in 'url': only one of them can be used",
        ),
        (
            {"password": "hush5", "password_file": "f"},
            "export.password_file: is given beside 'password': only one of them can be the password",
        ),
        ({"password_env": "UNSET_5"}, "export.password_env: names an environment variable that is not set"),
        ({"groups": []}, "export.groups: is empty: nothing would be exported"),
        ({"intervals": []}, "export.intervals: is empty: nothing would be exported"),
        ({"keep": "0s"}, "export.keep: '0s' is not a length of time above 0 and up to 277777h"),
        ({"table": "x"}, "export.table: is not known (known here: "),
    ],
)
def test_problem_names_setting_and_choices_but_no_password(export: dict[str, Any], problem: str) -> None:
    found = problems(**export)
    assert [each for each in found if each.startswith(problem)], found
    assert "hush5" not in "".join(found)


def test_section_without_any_group_to_export_is_a_problem() -> None:
    with pytest.raises(
        ConfigError, match="has no group to export: no group that is not hidden keeps a history"
    ):
        from_dicts({"none": GROUPS["none"]}, export={"url": URL})


def test_groups_with_problems_are_no_further_problem() -> None:
    with pytest.raises(ConfigError) as caught:
        from_dicts({"web": {"intervals": ["x"]}}, export={"url": URL, "groups": ["web"], "intervals": ["5m"]})
    (problem,) = caught.value.problems
    assert problem.path == "groups.web.intervals[0]"


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("sqlite:///counts.db", "sqlite:///{base}/counts.db"),
        ("sqlite+pysqlite:///data/a.db?timeout=9", "sqlite+pysqlite:///{base}/data/a.db?timeout=9"),
        ("sqlite:////var/lib/a.db", "sqlite:////var/lib/a.db"),
        ("sqlite:///file:a.db?uri=true", "sqlite:///file:a.db?uri=true"),
        (URL, URL),
    ],
)
def test_path_of_sqlite_is_relative_to_the_configuration(
    url: str, absolute: str, config_file: Write, tmp_path: Path
) -> None:
    config = from_file(config_file({"groups": GROUPS, "export": {"url": url}}))
    assert config.export and config.export.url == absolute.format(base=tmp_path)


def test_password_is_read_from_file_or_environment(
    config_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("hush5\n")
    monkeypatch.setenv("ECL_DATABASE_PASSWORD", "hush5")
    for setting in ({"password_file": "password"}, {"password_env": "ECL_DATABASE_PASSWORD"}):
        config = from_file(config_file({"groups": GROUPS, "export": {"url": URL, **setting}}))
        assert config.export and config.export.password == "hush5"
        assert "hush5" not in repr(config) + config.export.location


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("postgresql://me:hush5//hush5@db/ecl", "postgresql://***@db/ecl"),
        ("postgresql://me@zone:hush5/hush5@db/ecl", "postgresql://***@db/ecl"),
        ("postgresql://me:hush5?hush5@db/ecl", "postgresql://***"),
        ("postgresql:///ecl?user=me@zone&password=hush5", "postgresql://***"),
        ("postgresql:///ecl?password=hush5", "postgresql:///ecl"),
        ("postgresql://me:x@[::1]:5432/ecl", "postgresql://***@[::1]:5432/ecl"),
    ],
)
def test_location_has_no_part_of_the_password(url: str, location: str) -> None:
    export = configured(url=url).export
    assert export and export.location == location
