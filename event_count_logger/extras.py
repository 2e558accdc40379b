"""The optional parts of this package, and how to install them."""

from __future__ import annotations


def how_to_install(extra: str) -> str:
    """Returns what to do to have an extra, such as `server`."""
    return (
        f"install the extra '{extra}': pip install '.[{extra}]' in a checkout, or, when 2.0 is on the "
        f"package index, pip install 'event-count-logger[{extra}]>=2'"
    )
