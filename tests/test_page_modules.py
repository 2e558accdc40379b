"""The script that joins the modules of the page."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from event_count_logger.web.modules import Unsupported, joined
from event_count_logger.web.page import files


def test_modules_are_joined_after_the_modules_that_they_import() -> None:
    modules = {
        "page.js": 'import { one,\n  two } from "./numbers.js";\n\nadd(one, two());\n',
        "numbers.js": "export const one = 1;\nexport async function two() {}\nconst own = 3;\n",
        "unused.js": "export class Unused {}\n",
    }
    assert joined(modules, "page.js") == (
        "const $numbers_js = (() => {\n"
        "const one = 1;\nasync function two() {}\nconst own = 3;\n"
        "return { one, two };\n})();\n"
        "const $page_js = (() => {\n"
        "const { one, two } = $numbers_js;\n\nadd(one, two());\n"
        "return {  };\n})();\n"
    )


def test_name_that_a_module_passes_on_is_among_its_exports() -> None:
    modules = {
        "page.js": 'import { a, b } from "./both.js";\n',
        "both.js": 'export { a } from "./first.js";\nexport class b {}\n',
        "first.js": "export function* a() {}\n",
    }
    text = joined(modules, "page.js")
    assert "const { a } = $first_js;\nclass b {}\nreturn { a, b };" in text


@pytest.mark.parametrize(
    "line",
    [
        'import * as all from "./other.js";',
        'import "./other.js";',
        'import { a } from "https://example.org/a.js";',
        'import { a as b } from "./other.js";',
        "export default function () {}",
        "export { a };",
        "export let a = 1;",
        '  const { a } = await import("./other.js");',
        "const here = import.meta.url;",
    ],
)
def test_module_in_an_unsupported_form_raises_an_error(line: str) -> None:
    with pytest.raises(Unsupported, match="^page.js: cannot join"):
        joined({"page.js": f"{line}\n", "other.js": ""}, "page.js")


def test_modules_that_import_each_other_raise_an_error() -> None:
    modules = {"a.js": 'import { b } from "./b.js";\n', "b.js": 'import { a } from "./a.js";\n'}
    with pytest.raises(ValueError, match="cycle"):
        joined(modules, "a.js")


def test_script_of_the_page_has_all_of_its_modules() -> None:
    found = files()
    names = {name for name in found if name.endswith(".js")} - {"all.js"}
    script = found["all.js"].body.decode()
    assert {name for name in names if f"const ${name.removesuffix('.js')}_js =" in script} == names


def test_style_sheets_are_joined_after_that_of_the_page_by_name() -> None:
    found = files()
    names = ["page.css", *sorted(name for name in found if name.endswith(".css"))]
    names = [name for name in dict.fromkeys(names) if name != "all.css"]
    assert found["all.css"].body == b"\n".join(found[name].body for name in names)
    assert len(names) > 2


def test_script_of_the_page_is_the_same_in_each_process() -> None:
    program = "from event_count_logger.web.page import files; print(files()['all.js'].etag)"
    tags = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for seed in "123"
    ]
    assert tags == [tags[0]] * 3
