"""A reader of YAML files that finds the line of each place. The only module that imports yaml."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any

from event_count_logger.config.checks import show
from event_count_logger.config.report import LineOf, Place, written
from event_count_logger.errors import ConfigError, Problem

if TYPE_CHECKING:
    import yaml


def read(file: str, known: Container[object]) -> tuple[dict[object, Any], LineOf]:
    """Returns the content of a file, and a function that finds the line of a place in it.

    Args:
        file: Path of the file.
        known: Sections of this package, in which a key may stand only once.

    Raises:
        ConfigError: The file cannot be read, is not valid YAML, is not a mapping, or repeats a key.
    """
    import yaml

    def failure(message: str, line: int | None = None) -> ConfigError:
        return ConfigError([Problem("", message, file, line)])

    try:
        with open(file, "rb") as stream:
            loader = yaml.SafeLoader(stream)
            root = loader.get_single_node()
            # Before the document is constructed: merges (`<<`) repeat keys.
            repeated = list(_repeated_keys(root, (), known, set())) if root else []
            content = loader.construct_document(root) if root else {}
    except OSError as error:
        raise failure(f"cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise failure(f"is not valid YAML: {_without_words(str(error.problem))}", line) from error
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        raise failure(f"is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise failure("is not usable YAML: nested too deeply") from error
    if not isinstance(content, dict):
        raise failure(f"{show(content)} is not a mapping with the sections 'groups' and 'redis'", 1)
    if repeated:
        raise ConfigError([Problem(place, "is given twice", file, line) for place, line in repeated])
    return content, lambda place: _line_of(root, place) if root else None


def _without_words(problem: str) -> str:
    """Returns a problem of YAML without quoted words of the file: a password may begin with '*' or '!'."""
    if problem.endswith("but got '{'"):
        return f"{problem} (quote text that contains '{{', such as ${{NAME}})"
    found, n = re.subn("(alias|anchor|handle|tag) ['\"].*['\"]", r"\1", problem)
    return f"{found} (quote text that begins with '&', '*' or '!')" if n else found


def _line_of(node: yaml.Node, place: Place) -> int:
    """Returns the line on which a place begins, or that of its nearest parent in the file."""
    line = node.start_mark.line + 1
    for step in place:
        children = node.value if isinstance(node.value, list) else []
        if isinstance(step, int) and step < len(children) and not isinstance(children[step], tuple):
            node = children[step]
            line = node.start_mark.line + 1
            continue
        pairs = [pair for pair in children if isinstance(pair, tuple)]
        match = [pair for pair in pairs if _same_key(pair[0].value, step)]
        if not match:
            break
        key, node = match[-1]  # merged keys (`<<`) come first
        line = key.start_mark.line + 1
    return line


def _same_key(written: object, step: object) -> bool:
    if isinstance(step, bool):
        return str(written).lower() in (("yes", "true", "on") if step else ("no", "false", "off"))
    return str(step) in (written, str(written).replace("-", "_"))


def _repeated_keys(
    node: yaml.Node, place: Place, known: Container[object], visited: set[int]
) -> Iterator[tuple[str, int]]:
    """Yield the place and line of each repeated key; YAML would silently use the last one."""
    if not isinstance(node.value, list) or id(node) in visited:
        return
    visited.add(id(node))  # aliases put one node in many places, even in itself
    before = set()
    for number, child in enumerate(node.value):
        if not isinstance(child, tuple):
            yield from _repeated_keys(child, (*place, number), known, visited)
            continue
        key, value = child
        if not isinstance(key.value, str) or (not place and key.value not in known):
            continue
        here = (*place, key.value)
        if key.value in before:
            yield written(here), key.start_mark.line + 1
        before.add(key.value)
        yield from _repeated_keys(value, here, known, visited)
