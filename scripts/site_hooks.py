"""Hooks of the site builder: they add files outside of docs to the site, under their own names.

Documents link to these files by paths in the repository, such as ../example_config.yml; the hooks rewrite the
links.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from properdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "SECURITY.md",
    "deploy/grafana/dashboard.json",
    "example_config.yml",
)


def on_files(files: Files, config: Any) -> Files:
    for name in PUBLISHED:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if page.file.src_uri in PUBLISHED:
        return markdown.replace("](docs/", "](")
    for name in PUBLISHED:
        markdown = markdown.replace(f"](../{name}", f"]({name}")
    return markdown
