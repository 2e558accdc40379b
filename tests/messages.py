"""Messages of the program, found in its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import event_count_logger

PACKAGE = Path(event_count_logger.__file__).parent

#: Calls with a message for people, in the log or in an error, and the index of the message.
CALLS = {
    "warning": 0,
    "error": 0,
    "exception": 0,
    "warn_once": 1,
    "_skip": 1,
    "EmbeddedServerError": 0,
    "Failure": 0,
    "warn": 0,
}

#: Modules that yield messages.
YIELDING = (
    PACKAGE / "reading" / "server_checks.py",
    PACKAGE / "reading" / "history_memory.py",
    PACKAGE / "reading" / "machine_checks.py",
    PACKAGE / "render" / "text.py",
)


def patterns(messages_only: bool = False) -> set[str]:
    """Returns a regular expression for each text in the code, or only for each message."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        nodes = _messages(tree, path in YIELDING) if messages_only else ast.walk(tree)
        found |= {pattern for node in nodes if (pattern := _pattern(node))}
    return found


def _messages(tree: ast.AST, yielding: bool) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Yield) and node.value and yielding:
            yield node.value
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in CALLS and len(node.args) > CALLS[name]:
                yield node.args[CALLS[name]]


def _pattern(node: ast.AST) -> str:
    """Returns a pattern for a text of at least 10 letters; '' for anything else."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    if not all(isinstance(part, ast.FormattedValue | ast.Constant) for part in parts):
        return ""
    texts = [str(part.value) if isinstance(part, ast.Constant) else "%s" for part in parts]
    pieces = re.split(r"%(?:\.\d+)?[sdr]|\{\w+\}", "".join(texts))
    if sum(map(len, re.findall("[a-z]+", " ".join(pieces)))) < 10:
        return ""
    return ".*".join(re.escape(piece) for piece in pieces)
