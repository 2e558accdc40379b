from __future__ import annotations

import pytest

from event_count_logger import keys


@pytest.mark.parametrize(
    ("key", "literal"),
    [
        (keys.counter("web", "5m", "cur", "ok"), "web:5m:cur:ok"),
        (keys.counter("web", "5m", "last", "ok"), "web:5m:last:ok"),
        (keys.counter("my-web.2_x", "1.5H", "cur", "a:b é"), "my-web.2_x:1.5H:cur:a:b é"),
        (keys.counter("web", "5m", "cur", keys.OVERFLOW), "web:5m:cur:@overflow"),
        (keys.timestamp("web", "5m", "cur"), "web:5m:cur:@ts"),
        (keys.timestamp("web", "5m", "last"), "web:5m:last:@ts"),
        (keys.index("web", "5m", "cur"), "web:5m:cur:@events"),
        (keys.index("web", "5m", "last"), "web:5m:last:@events"),
        (keys.counts("web", "5m", "cur"), "web:5m:cur"),
        (keys.counts("web", "5m", "last"), "web:5m:last"),
        (keys.finished_counts("web", "5m", "9000-7"), "web:5m:@history:9000-7"),
        (keys.last_in_history("web", "5m"), "web:5m:@history:last"),
        (keys.moving_history("web", "5m"), "web:5m:@history:moving"),
        (keys.sources("web"), "web:@sources"),
        (keys.sources_seen("web"), "web:@sources_seen"),
        (keys.probe("web"), "web:@probe"),
        (keys.history("web", "5m"), "web:5m:@history"),
        (keys.finished("web", "5m"), "web:5m:@finished"),
        (keys.totals("web"), "web:@totals"),
        (keys.totals_interval("web"), "web:@totals_interval"),
        (keys.idle("web"), "web:@idle"),
        (keys.created("web"), "web:@created"),
        (keys.masters("web"), "web:@masters"),
        (keys.services("web"), "web:@services"),
        (keys.alerts("web"), "web:@alerts"),
        (keys.notifications("web"), "web:@notifications"),
        (keys.notes("web"), "web:@annotations"),
        (keys.intervals("web"), "web:@intervals"),
    ],
)
def test_key_strings_never_change(key: str, literal: str) -> None:
    assert key == literal


@pytest.mark.parametrize(
    "event_id", ["ok", "404", "a:b", "a@b", " ", "é", "\U0001f600", "x" * 512, "é" * 256]
)
def test_valid_event_id_has_no_fault(event_id: str) -> None:
    assert keys.event_id_fault(event_id) is None


@pytest.mark.parametrize(
    ("event_id", "fault"),
    [
        ("", "is empty"),
        ("@ts", "begins with '@', which is reserved"),
        ("@", "begins with '@', which is reserved"),
        ("a\nb", "contains control characters"),
        ("\0", "contains control characters"),
        ("\x7f", "contains control characters"),
        ("\x85", "contains control characters"),
        ("\ud800", "is not valid Unicode (a lone surrogate)"),
        ("x" * 513, "has 513 bytes in UTF-8, more than 512"),
        ("é" * 257, "has 514 bytes in UTF-8, more than 512"),
    ],
)
def test_invalid_event_id_has_a_fault(event_id: str, fault: str) -> None:
    assert keys.event_id_fault(event_id) == fault


@pytest.mark.parametrize("name", ["web", "WEB", "my-web", "my_web", "web.v2", "2"])
def test_valid_group_name_matches(name: str) -> None:
    assert keys.GROUP_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "my web", "a:b", "a/b", "@a", "{a}", "é", "a\n", "a*"])
def test_invalid_group_name_does_not_match(name: str) -> None:
    assert not keys.GROUP_NAME.fullmatch(name)
