"""The site with the documentation is whole, its links lead somewhere, and it needs nothing from elsewhere."""

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
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    done = build(ROOT, directory)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the site is built from, to be spoilt."""
    for name in ("docs", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*.yml"), ROOT / "LICENSE"):
        shutil.copy(path, tmp_path)
    return tmp_path


class _Loaded(HTMLParser):
    """What a browser fetches by itself when it shows a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        wanted = {"script": "src", "img": "src", "link": "href", "iframe": "src"}.get(tag)
        self.addresses += [value for name, value in attributes if name == wanted and value]


def links(text: str) -> Iterator[str]:
    """The targets of all links of a document that lead to other places in the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text)):
        if "://" not in target:
            yield target


def anchors(text: str) -> set[str]:
    """How headings are called where repositories are looked at (github.com's rule)."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
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
def test_a_link_that_leads_nowhere_is_found(project: Path, tmp_path: Path, text: str, report: str) -> None:
    with (project / "docs" / "index.md").open("a") as page:
        page.write(f"\n{text}\n")
    done = build(project, tmp_path / "site")
    assert done.returncode != 0
    assert report in done.stdout + done.stderr


def test_a_page_that_is_not_in_the_navigation_is_found(project: Path, tmp_path: Path) -> None:
    (project / "docs" / "new.md").write_text("# New\n")
    done = build(project, tmp_path / "site")
    assert done.returncode != 0
    assert "new.md" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "page", PAGES, ids=[str(page.relative_to(ROOT)).removeprefix("docs/") for page in PAGES]
)
def test_links_lead_somewhere_in_the_repository_too(page: Path) -> None:
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
