"""Credentials of servers: given directly, in a file or in an environment variable."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from event_count_logger.config.checks import Invalid, check, path
from event_count_logger.config.report import Place, Report
from event_count_logger.config.settings import Setting, Table

#: A URL: the scheme, and the rest.
_URL = re.compile(r"(?s)((?:[\w+.-]*:)?//)?(.*)")


def without_password(url: str) -> str:
    """Returns a URL without the parts that may be secret: user, password and query.

    A `?` before the last `@` may be a part of the password or begin the query: only the scheme is left.
    """
    scheme, rest = _URL.fullmatch(url).groups("")  # type: ignore[union-attr] # matches any text
    user, at, place = rest.rpartition("@")
    if "?" in user:
        return f"{scheme}***"
    return f"{scheme}{'***@' if at else ''}{place.partition('?')[0]}"


@check("a string")
def _secret(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Invalid("is not a string: put it in quotes")
    return str(value)


@check("the name of an environment variable")
def _variable(value: object) -> str:
    # The message does not show the value: it may be the password itself, put here by mistake.
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", value):
        raise Invalid("is not the name of an environment variable")
    return str(value)


def credentials_table(purpose: str, since: str) -> Table:
    """Returns the ways to give user name and password; a setting begins with the name of the credential.

    Args:
        purpose: Use of the credentials, for the reference.
        since: First version with `username` and `password`; all others came with 2.0.
    """
    return {
        "username": Setting(_secret, f"User name for {purpose}.", since),
        "username_env": Setting(
            _variable, "Environment variable with the user name, in place of `username`.", "2.0"
        ),
        "password": Setting(_secret, f"Password for {purpose}.", since),
        "password_file": Setting(path, "File with the password, in place of `password`.", "2.0"),
        "password_env": Setting(
            _variable, "Environment variable with the password, in place of `password`.", "2.0"
        ),
    }


def take_credentials(
    values: dict[str, Any],
    place: Place,
    report: Report,
    base: Path,
    names: Sequence[str] = ("username", "password"),
) -> dict[str, str]:
    """Returns the credentials by name, and removes their settings from `values`."""
    credentials: dict[str, str] = {}
    for credential in names:
        ways = (credential, f"{credential}_file", f"{credential}_env")
        given = {name: values.pop(name) for name in ways if name in values}
        if len(given) > 1:
            first, second, *_ = given
            report((*place, second), f"is given beside '{first}': only one of them can be the {credential}")
        for name, value in given.items():
            found = _credential(name, value, place, report, base)
            if found is not None:
                credentials[credential] = found
    return credentials


def _credential(name: str, value: Any, place: Place, report: Report, base: Path) -> str | None:
    if name.endswith("_env"):
        if value not in os.environ:
            report((*place, name), "names an environment variable that is not set")
        return os.environ.get(value)
    if name.endswith("_file"):
        path = readable(value, (*place, name), report, base)
        try:
            return path.read_text().removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError):
            return None
    return str(value)


def readable(path: Path, place: Place, report: Report, base: Path) -> Path:
    """Returns the absolute path of a file, and reports one that cannot be read."""
    absolute = base / path
    try:
        absolute.open("rb").close()
    except OSError as error:
        report(place, f"{report.shown(place, str(absolute), repr)} cannot be read: {error.strerror}")
    return absolute
