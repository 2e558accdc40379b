"""All modules of the page in one script: a first visit needs one request instead of one for each module.

Each module becomes a function that returns its exports. It stands behind the modules that it imports::

    const $dom_js = (() => {     // from dom.js
      ...
      return { element, setText };
    })();
    const $badges_js = (() => {  // from badges.js
      const { setText } = $dom_js;
      ...

A module may use these forms, each at the beginning of a line; `Unsupported` is raised for others::

    import { name, other } from "./module.js";
    export { name } from "./module.js";
    export const name = ...  (also: class, function, async function)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from graphlib import TopologicalSorter

_FROM = r'\{((?:\s*\w+,)*\s*\w+,?\s*)\} from "\./(\w+\.js)";$'
_IMPORT = re.compile(f"^import {_FROM}", re.MULTILINE)
_REEXPORT = re.compile(f"^export {_FROM}", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|class|(?:async )?function\*?) (\w+))", re.MULTILINE)
_OTHER = re.compile(r"(?:^(?:import|export)|\bimport[.(]).*", re.MULTILINE)


class Unsupported(ValueError):
    """A module has an import or export in a form that cannot be joined."""


def joined(modules: Mapping[str, str], first: str) -> str:
    """Returns one script that does what importing a module does; the same one in each process.

    Args:
        modules: Texts of the modules by file name.
        first: The module to import; others belong to the script only if it needs them.
    """
    needed: dict[str, list[str]] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = _imports(modules[name])
            waiting += needed[name]
    return "".join(_function(name, modules[name]) for name in TopologicalSorter(needed).static_order())


def _imports(text: str) -> list[str]:
    return [name for form in (_IMPORT, _REEXPORT) for _, name in form.findall(text)]


def _function(name: str, text: str) -> str:
    """Returns the statement that runs a module."""
    reexports = [each for names, _ in _REEXPORT.findall(text) for each in _listed(names)]
    exports = [*reexports, *_EXPORT.findall(text)]
    body = _IMPORT.sub(_constants, _REEXPORT.sub(_constants, text))
    body = _EXPORT.sub("", body)
    if found := _OTHER.search(body):
        raise Unsupported(f"{name}: cannot join {found[0]!r}")
    return f"const {_variable(name)} = (() => {{\n{body}return {{ {', '.join(exports)} }};\n}})();\n"


def _constants(found: re.Match[str]) -> str:
    names, module = found.groups()
    return f"const {{ {', '.join(_listed(names))} }} = {_variable(module)};"


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _variable(name: str) -> str:
    return "$" + name.replace(".", "_")
