"""Tables of settings: each setting is one entry, with its check, default, unit, meaning and first version.

A section of the configuration is a dataclass, made by `section`. Its fields are its settings, declared with
`setting`. The checks and the values that the rest of the package uses come from these entries. So do the
reference (docs/configuration.md) and the comments of example_config.yml.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from event_count_logger.config.checks import Check, Invalid, show
from event_count_logger.config.report import Place, Report

T = TypeVar("T")

#: Stands for the default of a required setting.
_REQUIRED: Any = MISSING


class Setting(NamedTuple):
    """One setting of a section.

    Attributes:
        check: Converts a value, or rejects it.
        meaning: Sentences for the reference; the first one is also its comment in example_config.yml.
        since: First version with this setting.
        default: Value if the setting is not given.
        default_text: The default in words, for the reference; '' if the value is clear by itself.
        unit: Unit of a number.
        example: A value, for the message that the setting is missing; '' if the setting is optional.
        field: Name of the field with the value; '' if no field has it.
        is_shared: True if the setting may also stand beside the section `groups`, for all groups.
    """

    check: Check[Any]
    meaning: str
    since: str
    default: object = None
    default_text: str = ""
    unit: str = ""
    example: str = ""
    field: str = ""
    is_shared: bool = False


#: The settings of a section, by name.
Table = Mapping[str, Setting]


def setting(
    check: Check[T],
    *,
    meaning: str,
    since: str,
    default: T = _REQUIRED,
    default_factory: Callable[[], T] = _REQUIRED,
    default_text: str = "",
    unit: str = "",
    example: str = "",
    name: str = "",
    is_shared: bool = False,
    repr: bool = True,
    hash: bool | None = None,
) -> T:
    """Declare a field of a section as one of its settings; see `Setting`.

    Args:
        check: Gives the value of the field.
        name: Name of the setting, if the field has another one.
    """
    stated = None if default is MISSING else default
    entry = Setting(check, meaning, since, stated, default_text, unit, example, is_shared=is_shared)
    return field(  # type: ignore[no-any-return, call-overload]
        default=default,
        default_factory=default_factory,
        repr=repr,
        hash=hash,
        metadata={"name": name, "setting": entry},
    )


if TYPE_CHECKING:
    from typing_extensions import dataclass_transform

    @dataclass_transform(frozen_default=True, field_specifiers=(setting, field))
    def section(cls: type[T]) -> type[T]:
        """Make a frozen, slotted dataclass of a section."""
else:
    section = dataclass(frozen=True, slots=True)


def settings_of(section: type) -> Table:
    """Returns the settings among the fields of a section."""
    return {
        each.metadata["name"] or each.name: each.metadata["setting"]._replace(field=each.name)
        for each in fields(section)
        if each.metadata
    }


def check_section(
    table: Table, given: object, place: Place, report: Report, *, strict: bool
) -> dict[str, Any] | None:
    """Returns the checked values of a section by field, without empty ones; None if a value is rejected.

    An unknown key is a problem. Unless `strict`, only one that resembles a setting is fatal, because
    configurations in use may have keys of their own.
    """
    if not isinstance(given, Mapping):
        # In place of a mapping, there may be an address with a password: it is not shown.
        value = "is" if strict else f"{show(given)} is"
        report(place, f"{value} not a mapping of settings")
        return None
    known = _known(table, given, place, report, strict)
    values: dict[str, Any] = {}
    is_valid = True
    for name, value in known.items():
        if value is None and not table[name].example:
            continue
        try:
            values[table[name].field or name] = table[name].check(value)
        except Invalid as error:
            is_valid = False
            for fault in error.faults:
                report((*place, name, *fault.steps), fault.message)
    for name, entry in table.items():
        if entry.example and name not in known:
            is_valid = False
            report((*place, name), f"is missing (for example {name}: {entry.example})")
    return values if is_valid else None


def _known(
    table: Table, given: Mapping[Any, Any], place: Place, report: Report, strict: bool
) -> dict[str, Any]:
    """Returns the values of known settings, and reports all other keys."""
    names = {key: key.replace("-", "_") if isinstance(key, str) else key for key in given}
    for key, name in names.items():
        if key != name and name in given:
            report((*place, name), f"is given twice, also as '{key}'")
    found = {names[key]: value for key, value in given.items()}
    for key in [key for key in found if key not in table]:
        name, colon, _ = str(key).partition(":")
        meant = similar(name, table)
        hint = f"did you mean '{meant}'?" if meant else f"known here: {', '.join(table)}"
        hint += "; a setting and its value need a blank after the colon" if colon else ""
        # YAML reads {password:secret} as one key. Its part after the colon may be secret and is not shown.
        report((*place, name if colon else key), f"is not known ({hint})", fatal=strict or bool(meant))
        del found[key]
    return found


def similar(key: object, known: Iterable[str]) -> str | None:
    """Returns the known key that an unknown one resembles, for example after a typo, or None."""
    return next(iter(difflib.get_close_matches(str(key), known, 1, 0.75)), None)
