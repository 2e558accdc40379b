"""The site with the documentation: it builds, its links exist, and it loads nothing from other hosts."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.conftest import BIN, ROOT

DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md"))]
CODE = re.compile(r"```.*?```|`[^`\n]*`|^    .*$", re.DOTALL | re.MULTILINE)


def build(project: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "properdocs"), "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    done = build(ROOT, directory)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the sources of the site, for tests that damage them."""
    for name in ("deploy", "docs", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*.yml"), ROOT / "LICENSE"):
        shutil.copy(path, tmp_path)
    return tmp_path


class _Loaded(HTMLParser):
    """A parser that finds the addresses that a browser loads with a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        wanted = {"script": "src", "img": "src", "link": "href", "iframe": "src"}.get(tag)
        self.addresses += [value for name, value in attributes if name == wanted and value]


def links(text: str) -> Iterator[str]:
    """Yields the targets of all links of a document into the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text)):
        if "://" not in target:
            yield target


def anchors(text: str) -> set[str]:
    """Returns the anchors of the headings, by the rule of github.com."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_site_loads_nothing_from_other_hosts(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        assert not [found for found in _Loaded(page.read_text()).addresses if "//" in found], page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"@import|url\(['\"]?(https?:)?//", style.read_text()), style.name


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ("[gone](gone.md)", "'gone.md'"),
        ("[gone](guarantees.md#gone)", "'#gone'"),
        ("[gone](../gone.yml)", "'../gone.yml'"),
    ],
)
def test_broken_link_fails_the_build(project: Path, tmp_path: Path, text: str, report: str) -> None:
    with (project / "docs" / "index.md").open("a") as page:
        page.write(f"\n{text}\n")
    done = build(project, tmp_path / "site")
    assert done.returncode != 0
    assert report in done.stdout + done.stderr


def test_page_missing_in_the_navigation_fails_the_build(project: Path, tmp_path: Path) -> None:
    (project / "docs" / "new.md").write_text("# New\n")
    done = build(project, tmp_path / "site")
    assert done.returncode != 0
    assert "new.md" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "page", PAGES, ids=[str(page.relative_to(ROOT)).removeprefix("docs/") for page in PAGES]
)
def test_links_of_documents_exist_in_the_repository(page: Path) -> None:
    for link in links(page.read_text()):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


def test_files_beside_the_documentation_are_part_of_the_site(site: Path) -> None:
    for name in ("LICENSE", "example_config.yml", "examples/number_file.py"):
        assert (site / name).read_bytes() == next(
            path.read_bytes() for path in (DOCS / name, ROOT / name) if path.exists()
        )
